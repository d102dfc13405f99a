// Opens TensorBoard's pages in Chromium and takes their pictures. Run by make_board_pictures.py.

const { chromium } = require("playwright-core");

const task = JSON.parse(process.argv[2]);
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

async function settled(page, milliseconds) {
  await page.waitForLoadState("load");
  await page.waitForTimeout(milliseconds);
}

// Elements of TensorBoard lie in shadow roots, which Playwright's selectors look into.
const pages = {
  scalars: async (page) => {
    await page.goto(`${task.address}#timeseries`);
    await settled(page, 4000);
    await page.getByRole("combobox", { name: "Filter tags (regex)" }).fill("^(loss|accuracy|speed)");
    await page.getByRole("button", { name: /settings/i }).last().click({ timeout: 20000 });
    await settled(page, 4000);
  },
  histograms: async (page) => {
    await page.goto(`${task.address}#histograms`);
    await settled(page, 9000);
  },
  images: async (page) => {
    await page.goto(`${task.address}#images`);
    await settled(page, 9000);
  },
  graph: async (page) => {
    await page.goto(`${task.address}#graphs`);
    await settled(page, 10000);
    await page.locator("text.nodelabel", { hasText: "layers.4" }).first().dblclick({ force: true });
    await settled(page, 3000);
    await page.locator('g[data-name="layers.4/contract"] ellipse').first().click({ force: true, timeout: 5000 });
    await settled(page, 4000);
  },
  profile: async (page) => {
    await page.goto(`${task.address}#graphs`);
    await settled(page, 8000);
    await page.locator("paper-dropdown-menu").nth(1).click({ timeout: 5000 });
    await settled(page, 1000);
    await page.locator("paper-item", { hasText: "training step" }).first().click({ force: true, timeout: 5000 });
    await settled(page, 4000);
    await page.locator("paper-radio-button", { hasText: "Profile" }).first().click({ force: true, timeout: 5000 });
    await settled(page, 6000);
    await page.locator("paper-radio-button", { hasText: /compute time/i }).first().click({ force: true, timeout: 5000 });
    await settled(page, 4000);
  },
  projector: async (page) => {
    await page.goto(`${task.address}#projector`);
    await settled(page, 20000);
  },
};

(async () => {
  const context = await chromium.launchPersistentContext(task.profile, {
    executablePath: task.browser,
    headless: true,
    args: flags,
    viewport: { width: 1280, height: 760 },
  });
  const wanted = process.env.BOARD_PAGES ? process.env.BOARD_PAGES.split(",") : Object.keys(pages);
  for (const name of wanted) {
    const page = await context.newPage();
    await pages[name](page);
    await page.screenshot({ path: `${task.target}/board-${name}.png` });
    await page.close();
  }
  await context.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
