; What runs a plan: an interpreter of its table of steps, and the pool of threads. The same for every plan; kernels are
; called through pointers. `runtime.py` loads this, lays the tables out, and says what the fields are.
;
; A kernel is `void kernel(ptr args, i64 begin, i64 end)`: its blocks begin … end - 1, on the memory that args points to.
;
; The pool (8 bytes a field): 0 generation, 1 remaining chunks, 2 finished chunks, 3 kernel, 4 args, 5 blocks, 6 grain,
; 7 chunks, 8 sleeping threads, 9 taken by a caller; from byte 128 a mutex, from byte 256 a condition variable.
; `remaining` alone decides who does what: whoever counts it down from k > 0 owns chunk k - 1, and the other fields stay
; as they are until that chunk is counted as finished. So a late thread can take nothing from a job that is over.

%Step = type { i64, ptr, ptr, i64, i64, i64, ptr, i64 }
; kind, kernel, args, blocks, grain, end, extra, count

declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()
declare void {declared}
declare i32 @clock_gettime(i32, ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i64 @llvm.smin.i64(i64, i64)

; take and run chunks until none is left
define internal void @take(ptr %pool) {
entry:
  %remaining = getelementptr i64, ptr %pool, i64 1
  %finished = getelementptr i64, ptr %pool, i64 2
  br label %next
next:
  %before = atomicrmw sub ptr %remaining, i64 1 seq_cst
  %mine = icmp sgt i64 %before, 0
  br i1 %mine, label %work, label %out
work:
  %p3 = getelementptr i64, ptr %pool, i64 3
  %kernel = load ptr, ptr %p3
  %p4 = getelementptr i64, ptr %pool, i64 4
  %args = load ptr, ptr %p4
  %p5 = getelementptr i64, ptr %pool, i64 5
  %blocks = load i64, ptr %p5
  %p6 = getelementptr i64, ptr %pool, i64 6
  %grain = load i64, ptr %p6
  %p7 = getelementptr i64, ptr %pool, i64 7
  %chunks = load i64, ptr %p7
  %chunk = sub i64 %chunks, %before
  %begin = mul i64 %chunk, %grain
  %past = add i64 %begin, %grain
  %end = call i64 @llvm.smin.i64(i64 %past, i64 %blocks)
  call void %kernel(ptr %args, i64 %begin, i64 %end)
  %x = atomicrmw add ptr %finished, i64 1 seq_cst
  br label %next
out:
  ret void
}

; a thread's life: wait for the generation to change (spinning, then asleep), take chunks, again
define ptr @td_worker(ptr %pool) {
entry:
  %mutex = getelementptr i8, ptr %pool, i64 128
  %signal = getelementptr i8, ptr %pool, i64 256
  %sleeping = getelementptr i64, ptr %pool, i64 8
  br label %wait
wait:
  %seen = phi i64 [ 0, %entry ], [ %now, %found ]
  br label %spin
spin:
  %turn = phi i64 [ 0, %wait ], [ %turn1, %spun ]
  %g = load atomic i64, ptr %pool seq_cst, align 8
  %new = icmp ne i64 %g, %seen
  br i1 %new, label %found, label %spun
spun:
  call void {pause}
  %turn1 = add i64 %turn, 1
  %tired = icmp sgt i64 %turn1, {spins}
  br i1 %tired, label %sleep, label %spin
sleep:
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  %a = atomicrmw add ptr %sleeping, i64 1 seq_cst
  br label %asleep
asleep:
  %g2 = load atomic i64, ptr %pool seq_cst, align 8
  %new2 = icmp ne i64 %g2, %seen
  br i1 %new2, label %awake, label %doze
doze:
  %w = call i32 @pthread_cond_wait(ptr %signal, ptr %mutex)
  br label %asleep
awake:
  %b = atomicrmw sub ptr %sleeping, i64 1 seq_cst
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %found
found:
  %now = phi i64 [ %g, %spin ], [ %g2, %awake ]
  call void @take(ptr %pool)
  br label %wait
}

; run all blocks of a kernel, with the pool's threads if there is a pool and nobody else uses it
define internal void @parallel(ptr %pool, ptr %kernel, ptr %args, i64 %blocks, i64 %grain) {
entry:
  %alone = icmp eq ptr %pool, null
  %few = icmp sle i64 %blocks, %grain
  %serial = or i1 %alone, %few
  br i1 %serial, label %direct, label %try
try:
  %taken = getelementptr i64, ptr %pool, i64 9
  %got = cmpxchg ptr %taken, i64 0, i64 1 seq_cst seq_cst
  %ok = extractvalue { i64, i1 } %got, 1
  br i1 %ok, label %post, label %direct
direct:
  call void %kernel(ptr %args, i64 0, i64 %blocks)
  ret void
post:
  %p1 = getelementptr i64, ptr %pool, i64 1
  %p2 = getelementptr i64, ptr %pool, i64 2
  %p3 = getelementptr i64, ptr %pool, i64 3
  %p4 = getelementptr i64, ptr %pool, i64 4
  %p5 = getelementptr i64, ptr %pool, i64 5
  %p6 = getelementptr i64, ptr %pool, i64 6
  %p7 = getelementptr i64, ptr %pool, i64 7
  %p8 = getelementptr i64, ptr %pool, i64 8
  %up = add i64 %blocks, %grain
  %up1 = sub i64 %up, 1
  %chunks = udiv i64 %up1, %grain
  store ptr %kernel, ptr %p3
  store ptr %args, ptr %p4
  store i64 %blocks, ptr %p5
  store i64 %grain, ptr %p6
  store i64 %chunks, ptr %p7
  store atomic i64 0, ptr %p2 seq_cst, align 8
  store atomic i64 %chunks, ptr %p1 seq_cst, align 8
  %g = atomicrmw add ptr %pool, i64 1 seq_cst
  %sleepers = load atomic i64, ptr %p8 seq_cst, align 8
  %any = icmp sgt i64 %sleepers, 0
  br i1 %any, label %wake, label %help
wake:
  %mutex = getelementptr i8, ptr %pool, i64 128
  %signal = getelementptr i8, ptr %pool, i64 256
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  %b = call i32 @pthread_cond_broadcast(ptr %signal)
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %help
help:
  call void @take(ptr %pool)
  br label %wait
wait:
  %turn = phi i64 [ 0, %help ], [ %turn1, %again ]
  %done = load atomic i64, ptr %p2 seq_cst, align 8
  %all = icmp eq i64 %done, %chunks
  br i1 %all, label %out, label %idle
idle:
  call void {pause}
  %turn1 = add i64 %turn, 1
  %long = icmp sgt i64 %turn1, 2000
  br i1 %long, label %yield, label %again
yield:
  %y = call i32 @sched_yield()
  br label %again
again:
  br label %wait
out:
  store atomic i64 0, ptr %taken seq_cst, align 8
  ret void
}

define internal i64 @now() {
entry:
  %t = alloca [2 x i64]
  %r = call i32 @clock_gettime(i32 1, ptr %t)
  %s = load i64, ptr %t
  %np = getelementptr i64, ptr %t, i64 1
  %n = load i64, ptr %np
  %sn = mul i64 %s, 1000000000
  %out = add i64 %sn, %n
  ret i64 %out
}

; The context (8 bytes a field): 0 pool, 1 callback for steps that Python runs, 2 where nanoseconds of each step are added
; up (or null), 3 and 4 patches and their number, 5 and 6 steps and their number, 7 how many arrays are inputs.
; Kinds of steps: 0 kernel; 1 host; 2 loop: the steps up to `end`, `count` times, after each of which the cells in
; `extra` (address, first value, how far it moves; `blocks` of them) move on; 3 while: `blocks` steps test, and the byte
; that `args` points to says whether the rest up to `end` runs, at most `count` times (negative: any), the rounds are
; counted in `extra`; 4 branch: the int32 that `args` points to says which of `count` pairs (begin, end) in `extra` runs.
; Returns 0, or what a host step returned, and then nothing more is done.
define internal i64 @execute(ptr %steps, i64 %begin, i64 %past, ptr %context) {
entry:
  %pool = load ptr, ptr %context
  %cp1 = getelementptr ptr, ptr %context, i64 1
  %callback = load ptr, ptr %cp1
  %cp2 = getelementptr ptr, ptr %context, i64 2
  %times = load ptr, ptr %cp2
  %timed = icmp ne ptr %times, null
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %following, %after ]
  %more = icmp slt i64 %i, %past
  br i1 %more, label %step, label %done
done:
  ret i64 0
step:
  %s = getelementptr %Step, ptr %steps, i64 %i
  %kind = load i64, ptr %s
  %pkernel = getelementptr %Step, ptr %s, i64 0, i32 1
  %kernel = load ptr, ptr %pkernel
  %pargs = getelementptr %Step, ptr %s, i64 0, i32 2
  %args = load ptr, ptr %pargs
  %pblocks = getelementptr %Step, ptr %s, i64 0, i32 3
  %blocks = load i64, ptr %pblocks
  %pgrain = getelementptr %Step, ptr %s, i64 0, i32 4
  %grain = load i64, ptr %pgrain
  %pend = getelementptr %Step, ptr %s, i64 0, i32 5
  %end = load i64, ptr %pend
  %pextra = getelementptr %Step, ptr %s, i64 0, i32 6
  %extra = load ptr, ptr %pextra
  %pcount = getelementptr %Step, ptr %s, i64 0, i32 7
  %count = load i64, ptr %pcount
  %one = add i64 %i, 1
  br i1 %timed, label %start, label %go
start:
  %t0s = call i64 @now()
  br label %go
go:
  %t0 = phi i64 [ 0, %step ], [ %t0s, %start ]
  switch i64 %kind, label %run [ i64 1, label %host
                                 i64 2, label %rounds
                                 i64 3, label %while
                                 i64 4, label %branch ]
run:
  call void @parallel(ptr %pool, ptr %kernel, ptr %args, i64 %blocks, i64 %grain)
  br label %ran
host:
  %code = call i64 %callback(i64 %count)
  %bad = icmp ne i64 %code, 0
  br i1 %bad, label %failed, label %ran
failed:
  ret i64 %code

rounds:
  br label %reset
reset:
  %c = phi i64 [ 0, %rounds ], [ %c1, %set ]
  %cmore = icmp slt i64 %c, %blocks
  br i1 %cmore, label %set, label %turns
set:
  %c3 = mul i64 %c, 3
  %cell = getelementptr i64, ptr %extra, i64 %c3
  %slot = load ptr, ptr %cell
  %fp = getelementptr i64, ptr %cell, i64 1
  %first = load i64, ptr %fp
  store i64 %first, ptr %slot
  %c1 = add i64 %c, 1
  br label %reset
turns:
  %turn = phi i64 [ 0, %reset ], [ %turn1, %moved ]
  %tmore = icmp slt i64 %turn, %count
  br i1 %tmore, label %body, label %skip
body:
  %rcode = call i64 @execute(ptr %steps, i64 %one, i64 %end, ptr %context)
  %rbad = icmp ne i64 %rcode, 0
  br i1 %rbad, label %rfailed, label %move
rfailed:
  ret i64 %rcode
move:
  %m = phi i64 [ 0, %body ], [ %m1, %advance ]
  %mmore = icmp slt i64 %m, %blocks
  br i1 %mmore, label %advance, label %moved
advance:
  %m3 = mul i64 %m, 3
  %mcell = getelementptr i64, ptr %extra, i64 %m3
  %mslot = load ptr, ptr %mcell
  %mp = getelementptr i64, ptr %mcell, i64 2
  %by = load i64, ptr %mp
  %old = load i64, ptr %mslot
  %at = add i64 %old, %by
  store i64 %at, ptr %mslot
  %m1 = add i64 %m, 1
  br label %move
moved:
  %turn1 = add i64 %turn, 1
  br label %turns

while:
  %test = add i64 %one, %blocks
  br label %wtest
wtest:
  %w = phi i64 [ 0, %while ], [ %w1, %wbody ]
  %full = icmp eq i64 %w, %count
  br i1 %full, label %wdone, label %wask
wask:
  %wcode = call i64 @execute(ptr %steps, i64 %one, i64 %test, ptr %context)
  %wbad = icmp ne i64 %wcode, 0
  br i1 %wbad, label %wfailed, label %wlook
wfailed:
  ret i64 %wcode
wlook:
  %flag = load ptr, ptr %args
  %holds = load i8, ptr %flag
  %goes = icmp ne i8 %holds, 0
  br i1 %goes, label %wrun, label %wdone
wrun:
  %bcode = call i64 @execute(ptr %steps, i64 %test, i64 %end, ptr %context)
  %bbad = icmp ne i64 %bcode, 0
  br i1 %bbad, label %bfailed, label %wbody
bfailed:
  ret i64 %bcode
wbody:
  %w1 = add i64 %w, 1
  br label %wtest
wdone:
  %counts = icmp ne ptr %extra, null
  br i1 %counts, label %wcount, label %skip
wcount:
  store i64 %w, ptr %extra
  br label %skip

branch:
  %which = load ptr, ptr %args
  %k32 = load i32, ptr %which
  %k64 = sext i32 %k32 to i64
  %last = sub i64 %count, 1
  %klow = call i64 @llvm.smin.i64(i64 %k64, i64 %last)
  %neg = icmp slt i64 %klow, 0
  %k = select i1 %neg, i64 0, i64 %klow
  %k2 = mul i64 %k, 2
  %bp = getelementptr i64, ptr %extra, i64 %k2
  %bbegin = load i64, ptr %bp
  %bp1 = getelementptr i64, ptr %bp, i64 1
  %bend = load i64, ptr %bp1
  %brcode = call i64 @execute(ptr %steps, i64 %bbegin, i64 %bend, ptr %context)
  %brbad = icmp ne i64 %brcode, 0
  br i1 %brbad, label %brfailed, label %skip
brfailed:
  ret i64 %brcode

skip:
  br label %time
ran:
  br label %time
time:
  %target = phi i64 [ %end, %skip ], [ %one, %ran ]
  br i1 %timed, label %stop, label %after
stop:
  %t1 = call i64 @now()
  %dt = sub i64 %t1, %t0
  %tp = getelementptr i64, ptr %times, i64 %i
  %sofar = load i64, ptr %tp
  %total = add i64 %sofar, %dt
  store i64 %total, ptr %tp
  br label %after
after:
  %following = phi i64 [ %target, %time ], [ %target, %stop ]
  br label %loop
}

; Arrays come as a Python list of them, inputs before outputs; Python keeps a list's items, and NumPy the address of the
; data and the flags, at fixed places. Returns the 1-based number of an array that is not contiguous and aligned, negated;
; else what `execute` returns. Outputs are made read-only. Each patch is (cell, number of the array, bytes beyond its
; beginning).
define i64 @td_run(ptr %context, ptr %list) {
entry:
  %sizep = getelementptr i8, ptr %list, i64 {size}
  %count = load i64, ptr %sizep
  %itemsp = getelementptr i8, ptr %list, i64 {items}
  %objects = load ptr, ptr %itemsp
  %c3 = getelementptr i64, ptr %context, i64 3
  %patches = load ptr, ptr %c3
  %c4 = getelementptr i64, ptr %context, i64 4
  %patchcount = load i64, ptr %c4
  %c5 = getelementptr i64, ptr %context, i64 5
  %steps = load ptr, ptr %c5
  %c6 = getelementptr i64, ptr %context, i64 6
  %stepcount = load i64, ptr %c6
  %c7 = getelementptr i64, ptr %context, i64 7
  %inputs = load i64, ptr %c7
  br label %check
check:
  %i = phi i64 [ 0, %entry ], [ %i1, %checked ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %patch
look:
  %op = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %op
  %fp = getelementptr i8, ptr %object, i64 {flags}
  %flags = load i32, ptr %fp
  %both = and i32 %flags, 257
  %fine = icmp eq i32 %both, 257
  %i1 = add i64 %i, 1
  br i1 %fine, label %good, label %bad
bad:
  %minus = sub i64 0, %i1
  ret i64 %minus
good:
  %output = icmp sge i64 %i, %inputs
  br i1 %output, label %protect, label %checked
protect:
  %readonly = and i32 %flags, -1025
  store i32 %readonly, ptr %fp
  br label %checked
checked:
  br label %check
patch:
  %p = phi i64 [ 0, %check ], [ %p1, %set ]
  %pmore = icmp slt i64 %p, %patchcount
  br i1 %pmore, label %set, label %run
set:
  %p3 = mul i64 %p, 3
  %cell = getelementptr i64, ptr %patches, i64 %p3
  %slot = load ptr, ptr %cell
  %np = getelementptr i64, ptr %cell, i64 1
  %n = load i64, ptr %np
  %xp = getelementptr i64, ptr %cell, i64 2
  %beyond = load i64, ptr %xp
  %aop = getelementptr ptr, ptr %objects, i64 %n
  %array = load ptr, ptr %aop
  %dp = getelementptr i8, ptr %array, i64 {data}
  %data = load i64, ptr %dp
  %address = add i64 %data, %beyond
  store i64 %address, ptr %slot
  %p1 = add i64 %p, 1
  br label %patch
run:
  %code = call i64 @execute(ptr %steps, i64 0, i64 %stepcount, ptr %context)
  ret i64 %code
}

; a kernel: bytes begin … end - 1 of args[1] go to args[0]
define void @td_copy(ptr %args, i64 %begin, i64 %end) {
entry:
  %to = load ptr, ptr %args
  %p = getelementptr ptr, ptr %args, i64 1
  %from = load ptr, ptr %p
  %a = getelementptr i8, ptr %to, i64 %begin
  %b = getelementptr i8, ptr %from, i64 %begin
  %n = sub i64 %end, %begin
  call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 %n, i1 false)
  ret void
}
