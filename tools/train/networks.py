"""The networks of the training program in plain PyTorch, with the same names of weights."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def conv(a, b, kernel, stride=1, dilation=1):
    return nn.Conv2d(a, b, kernel, stride, dilation * (kernel // 2), dilation, bias=False)


def resize(x, like):
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def layer(a, b, stride=1):
    return [conv(a, b, 3, stride), nn.BatchNorm2d(b), nn.ReLU()]


class Block(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, channels, 3, 1, dilation), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3, 1, dilation), nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SmallNetwork(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(*layer(3, 32, 2))
        self.stage4 = nn.Sequential(*layer(32, 64, 2), Block(64, 1))
        self.stage8 = nn.Sequential(*layer(64, 128, 2), Block(128, 1), Block(128, 1))
        self.context = nn.Sequential(Block(128, 2), Block(128, 4))
        self.fuse4, self.fuse2 = nn.Sequential(*layer(64, 32)), nn.Sequential(*layer(32, 32))
        self.summary = nn.Conv2d(128, 128, 1)
        self.skip8, self.skip4, self.skip2 = conv(128, 64, 1), conv(64, 64, 1), conv(32, 32, 1)
        self.classifier = nn.Conv2d(32, classes, 1)

    def forward(self, images):
        x2 = self.stem(images)
        x4 = self.stage4(x2)
        x8 = self.context(self.stage8(x4))
        x8 = x8 + self.summary(x8.mean((2, 3), keepdim=True))
        y4 = self.fuse4(resize(self.skip8(x8), x4) + self.skip4(x4))
        y2 = self.fuse2(resize(y4, x2) + self.skip2(x2))
        return self.classifier(y2)

    def is_head(self, name):
        return name.startswith("classifier.")


class FrozenBatchNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=False)


class Bottleneck(nn.Module):
    def __init__(self, inputs, middle, stride, dilation, caffe):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, middle, 1, stride if caffe else 1), FrozenBatchNorm(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, 1 if caffe else stride, dilation), FrozenBatchNorm(middle)
        self.conv3, self.bn3 = conv(middle, 4 * middle, 1), FrozenBatchNorm(4 * middle)
        self.downsample = None
        if stride != 1 or inputs != 4 * middle:
            self.downsample = nn.Sequential(conv(inputs, 4 * middle, 1, stride), FrozenBatchNorm(4 * middle))

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Output stride 8: layer3 and layer4 are dilated instead of strided."""

    def __init__(self, blocks, caffe):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), FrozenBatchNorm(64)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=caffe)
        inputs = 64
        for i, (middle, stride, dilation) in enumerate(((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))):
            modules = []
            for j in range(blocks[i]):
                modules.append(Bottleneck(inputs, middle, stride if j == 0 else 1, dilation, caffe))
                inputs = 4 * middle
            setattr(self, f"layer{i + 1}", nn.Sequential(*modules))

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class DeepLabV2(nn.Module):
    def __init__(self, blocks, classes, caffe):
        super().__init__()
        self.backbone = ResNet(blocks, caffe)
        self.aspp = nn.ModuleDict({f"c{i}": nn.Conv2d(2048, classes, 3, 1, d, d) for i, d in enumerate((6, 12, 18, 24))})

    def forward(self, x):
        x = self.backbone(x)
        return sum(branch(x) for branch in self.aspp.values())

    def is_head(self, name):
        return name.startswith("aspp.")


def make_network(name, classes, style="torchvision"):
    if name == "small":
        return SmallNetwork(classes)
    blocks = {"deeplabv2-resnet50": (3, 4, 6, 3), "deeplabv2-resnet101": (3, 4, 23, 3)}[name]
    return DeepLabV2(blocks, classes, style == "caffe")


def training_logits(network, images, scales):
    """The logits that the loss is computed of: see training_logits() in cpp/train/network.h."""
    every = [network(images)]
    for scale in scales:
        size = [max(1, int(n * scale)) for n in images.shape[2:]]
        every.append(network(F.interpolate(images, size=size, mode="bilinear", align_corners=False)))
    if scales:
        every.append(torch.stack([every[0]] + [resize(x, every[0]) for x in every[1:]]).max(0).values)
    return every
