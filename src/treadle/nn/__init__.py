"""Neural networks: modules, layers, losses."""

from __future__ import annotations

from treadle.core.owned import Parameter, State
from treadle.nn import activations, attention, augment, decoding, initializers, losses, models, recurrent
from treadle.nn.activation_layers import Activation, LeakyReLU, PReLU, ReLU, Softmax
from treadle.nn.attention import (
    FeedForward,
    LearnedPositions,
    MultiHeadAttention,
    RelativePositionBias,
    SinusoidalPositions,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    alibi,
    rotary,
    scaled_dot_product_attention,
    sinusoidal,
)
from treadle.nn.augment.layers import (
    ColorJitter,
    CutMix,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomFlip,
)
from treadle.nn.batch_norm import BatchNormalization
from treadle.nn.borders import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from treadle.nn.calls import is_training
from treadle.nn.channels import GlobalResponseNormalization, SqueezeExcitation
from treadle.nn.conv_arithmetic import ConvShape, conv_shape
from treadle.nn.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from treadle.nn.convolution import Conv1D, Conv2D, Conv3D
from treadle.nn.defaults import defaults
from treadle.nn.dense import Dense
from treadle.nn.depthwise import DepthwiseConv1D, DepthwiseConv2D, DepthwiseConv3D
from treadle.nn.dropout import Dropout
from treadle.nn.embedding import Embedding
from treadle.nn.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
from treadle.nn.layouts import flat_kernel_to, kernel_to
from treadle.nn.masking import mask_of, pad_sequences, unpad_sequences
from treadle.nn.module import Module
from treadle.nn.normalization import GroupNormalization, LayerNormalization, RMSNormalization
from treadle.nn.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from treadle.nn.precision import autocast
from treadle.nn.recurrent import (
    GRU,
    LSTM,
    AttentionCell,
    BahdanauAttention,
    Bidirectional,
    Cell,
    ClockedCells,
    ConvLSTM1D,
    ConvLSTM2D,
    ConvLSTM3D,
    ConvLSTMCell,
    Decoder,
    FeedbackCell,
    GRUCell,
    LinearCell,
    LinearRecurrent,
    LSTMCell,
    LuongAttention,
    MambaBlock,
    MinGRUCell,
    MinLSTMCell,
    Recurrent,
    ResidualCell,
    S4DCell,
    SelectiveCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedCells,
    reset_states,
)
from treadle.nn.reparametrized import SpectralNormalization, WeightNormalization
from treadle.nn.resizing import UpSampling1D, UpSampling2D, UpSampling3D, resize
from treadle.nn.separable import SeparableConv1D, SeparableConv2D, SeparableConv3D
from treadle.nn.sequential import Sequential
from treadle.nn.shaping import Flatten, Reshape
from treadle.nn.summary import Summary, summary
from treadle.nn.torch_weights import from_torch

# Keras's and others' short names of the same classes.
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
BatchNorm = BatchNormalization
GroupNorm = GroupNormalization
LayerNorm = LayerNormalization
MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
RMSNorm = RMSNormalization

__all__ = [
    "Activation",
    "AttentionCell",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BahdanauAttention",
    "BatchNorm",
    "BatchNormalization",
    "Bidirectional",
    "Cell",
    "ClockedCells",
    "ColorJitter",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "ConvLSTMCell",
    "ConvShape",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CutMix",
    "Decoder",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "DepthwiseConv3D",
    "Dropout",
    "Embedding",
    "FeedForward",
    "FeedbackCell",
    "Flatten",
    "GRU",
    "GRUCell",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalResponseNormalization",
    "GroupNorm",
    "GroupNormalization",
    "LSTM",
    "LSTMCell",
    "LayerNorm",
    "LayerNormalization",
    "LeakyReLU",
    "LearnedPositions",
    "LinearCell",
    "LinearRecurrent",
    "LuongAttention",
    "MambaBlock",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "MinGRUCell",
    "MinLSTMCell",
    "MixUp",
    "Module",
    "MultiHeadAttention",
    "PReLU",
    "Parameter",
    "RMSNorm",
    "RMSNormalization",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "ReLU",
    "Recurrent",
    "RelativePositionBias",
    "Reshape",
    "ResidualCell",
    "S4DCell",
    "SelectiveCell",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConv3D",
    "Sequential",
    "SimpleRNN",
    "SimpleRNNCell",
    "SinusoidalPositions",
    "Softmax",
    "SpectralNormalization",
    "SqueezeExcitation",
    "StackedCells",
    "State",
    "Summary",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "WeightNormalization",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "activations",
    "alibi",
    "attention",
    "augment",
    "autocast",
    "conv_shape",
    "decoding",
    "defaults",
    "flat_kernel_to",
    "from_torch",
    "initializers",
    "is_training",
    "kernel_to",
    "losses",
    "mask_of",
    "models",
    "pad_sequences",
    "recurrent",
    "reset_states",
    "resize",
    "rotary",
    "scaled_dot_product_attention",
    "sinusoidal",
    "summary",
    "unpad_sequences",
]
