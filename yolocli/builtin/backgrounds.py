"""Photograph-like backgrounds, none of them a photograph: one function each, in a registry."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from yolocli.builtin.ink import Image
from yolocli.builtin.textures import blob, colour, fractal, gradient, grain, mix

Background = Callable[[np.random.Generator, int, int], Image]


def plain(rng: np.random.Generator, height: int, width: int) -> Image:
    """A wall or a table top: two near colours, a ramp of light, faint stains."""
    base = colour(rng, 0.5)
    near = tuple(int(np.clip(c + rng.integers(-45, 46), 0, 255)) for c in base)
    amount = 0.7 * gradient(rng, height, width) + 0.3 * fractal(rng, height, width)
    return grain(rng, mix(base, (near[0], near[1], near[2]), amount), rng.uniform(0, 6))


def clouds(rng: np.random.Generator, height: int, width: int) -> Image:
    """Stone, carpet, sky, skin: noise with the statistics of natural pictures."""
    roughness = rng.uniform(0.35, 0.85)
    image = mix(colour(rng), colour(rng), fractal(rng, height, width, roughness))
    return grain(rng, image, rng.uniform(0, 12))


def leaves(rng: np.random.Generator, height: int, width: int) -> Image:
    """Overlapping shapes of all sizes, each with a texture and a shade of its own.

    Occlusion and scale distribution of such pictures are close to those of photographs.
    """
    image = clouds(rng, height, width)
    textures = [clouds(rng, height, width) for _ in range(2)]
    for _ in range(int(rng.integers(25, 140))):
        points = blob(rng, height, width)
        x, y, w, h = cv2.boundingRect(points)
        x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if x2 <= x1 or y2 <= y1:
            continue
        mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
        if rng.random() < 0.35:
            axes = (max(1, w // 2), max(1, h // 2))
            middle = (x + w // 2 - x1, y + h // 2 - y1)
            cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_8)
        else:
            cv2.fillPoly(mask, [points - np.array([x1, y1], np.int32)], 1.0)
        region = image[y1:y2, x1:x2]
        fill = np.full(region.shape, colour(rng, 0.8), np.uint8)
        texture = textures[int(rng.integers(2))][y1:y2, x1:x2]
        fill = cv2.addWeighted(fill, 0.6, texture, 0.5, 0)
        if rng.random() < 0.5:
            fill = (fill * (0.5 + 0.7 * gradient(rng, *fill.shape[:2]))[:, :, None]).clip(0, 255)
        np.copyto(region, fill.astype(np.uint8), where=mask[:, :, None] > 0)
    return image


def foliage(rng: np.random.Generator, height: int, width: int) -> Image:
    """Many small strokes of one family of colours: grass, leaves, fur, gravel."""
    image = clouds(rng, height, width)
    hue, length = rng.integers(180), rng.uniform(4, 30)
    lean = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(300, 1100))):
        x, y = rng.integers(width), rng.integers(height)
        angle = lean + rng.normal(0, 0.5)
        end = (int(x + length * np.cos(angle)), int(y + length * np.sin(angle)))
        hsv = [[[int(hue + rng.integers(-12, 13)) % 180, rng.integers(60, 200), rng.integers(20, 220)]]]
        shade = cv2.cvtColor(np.array(hsv, np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
        cv2.line(image, (int(x), int(y)), end, shade, int(rng.integers(1, 5)), cv2.LINE_AA)
    return image


def wood(rng: np.random.Generator, height: int, width: int) -> Image:
    """Planks: noise stretched along the grain, with joints."""
    stretch = int(rng.integers(6, 20))
    noise = fractal(rng, height, max(4, width // stretch), 0.8)
    lines = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR).T
    lines = cv2.resize(lines, (width, height)) if rng.random() < 0.5 else lines.T
    dark = (int(rng.integers(20, 70)), int(rng.integers(40, 100)), int(rng.integers(70, 140)))
    light = (int(rng.integers(80, 170)), int(rng.integers(120, 200)), int(rng.integers(160, 235)))
    image = mix(dark, light, np.ascontiguousarray(lines))
    for joint in range(0, height, int(rng.integers(40, 200))):
        cv2.line(image, (0, joint), (width, joint), [c // 2 for c in dark], int(rng.integers(1, 4)))
    return image


def bricks(rng: np.random.Generator, height: int, width: int) -> Image:
    """A wall of bricks or tiles."""
    brick_w = int(rng.integers(20, 140))
    brick_h = int(brick_w * rng.uniform(0.3, 1.0))
    image = np.full((height, width, 3), colour(rng, 0.3, 90, 220), np.uint8)
    base, gap = np.array(colour(rng, 0.8, 60, 220)), int(rng.integers(1, 6))
    shift = brick_w // 2 if rng.random() < 0.7 else 0
    for row, y in enumerate(range(0, height, brick_h)):
        for x in range(-(row % 2) * shift, width, brick_w):
            shade = np.clip(base + rng.normal(0, 14), 0, 255).tolist()
            cv2.rectangle(image, (x + gap, y + gap), (x + brick_w - gap, y + brick_h - gap), shade, -1)
    light = 0.7 + 0.5 * fractal(rng, height, width)
    return grain(rng, np.clip(image * light[:, :, None], 0, 255).astype(np.uint8), rng.uniform(2, 10))


def room(rng: np.random.Generator, height: int, width: int) -> Image:
    """A wall, a floor and furniture-like blocks standing between them."""
    image = plain(rng, height, width)
    horizon = int(height * rng.uniform(0.4, 0.85))
    image[horizon:] = wood(rng, height, width)[: height - horizon]
    for _ in range(int(rng.integers(2, 9))):
        w, h = int(width * rng.uniform(0.05, 0.4)), int(height * rng.uniform(0.08, 0.6))
        x, y = int(rng.integers(-w // 2, width)), horizon + int(height * rng.uniform(-0.1, 0.2)) - h
        block = (colour(rng, 0.7), colour(rng, 0.7), gradient(rng, h, w))
        face = mix(*block)
        x1, y1, x2, y2 = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
        if x2 > x1 and y2 > y1:
            image[y1:y2, x1:x2] = face[y1 - y : y2 - y, x1 - x : x2 - x]
    return grain(rng, image, rng.uniform(0, 6))


def street(rng: np.random.Generator, height: int, width: int) -> Image:
    """Facades with rows of windows, a sky and a road: dark rectangles in a regular order."""
    top, low = colour(rng, 0.4, 150, 250), colour(rng, 0.3, 150, 250)
    image = mix(top, low, gradient(rng, height, width))
    x, ground = 0, int(height * rng.uniform(0.65, 0.9))
    while x < width:
        w, roof = int(rng.integers(50, 260)), int(height * rng.uniform(0, 0.5))
        cv2.rectangle(image, (x, roof), (x + w, ground), colour(rng, 0.6, 60, 230), -1)
        cell_w, cell_h = int(rng.integers(8, 60)), int(rng.integers(10, 70))
        glass, frame = colour(rng, 0.4, 10, 110), colour(rng, 0.2, 120, 250)
        for wy in range(roof + cell_h // 2, ground - cell_h, cell_h):
            for wx in range(x + cell_w // 3, x + w - cell_w // 2, cell_w):
                corner = (wx + int(cell_w * 0.6), wy + int(cell_h * 0.6))
                cv2.rectangle(image, (wx, wy), corner, glass, -1)
                cv2.rectangle(image, (wx, wy), corner, frame, 1)
        x += w
    image[ground:] = clouds(rng, height, width)[ground:]
    return grain(rng, image, rng.uniform(0, 8))


def shelf(rng: np.random.Generator, height: int, width: int) -> Image:
    """Books or boxes side by side: stripes of random width that are no barcode."""
    image = plain(rng, height, width)
    rows = int(rng.integers(1, 5))
    tall = height // rows
    for row in range(rows):
        x, widest = 0, int(rng.integers(8, 70))
        while x < width:
            w, gap = int(rng.integers(3, widest)), int(tall * rng.uniform(0.05, 0.35))
            shape = (row * tall + gap, row * tall + tall - 4)
            cv2.rectangle(image, (x, shape[0]), (x + w, shape[1]), colour(rng, 0.9), -1)
            x += w + int(rng.random() < 0.3)
        cv2.rectangle(image, (0, (row + 1) * tall - 5), (width, (row + 1) * tall), colour(rng, 0.5), -1)
    return grain(rng, image, rng.uniform(0, 8))


def weave(rng: np.random.Generator, height: int, width: int) -> Image:
    """Cloth or mesh: two crossing waves."""
    period = rng.uniform(3, 24)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    lean = rng.uniform(-0.6, 0.6)
    waves = np.sin((x + lean * y) * 2 * np.pi / period) + np.sin((y - lean * x) * 2 * np.pi / period)
    amount = np.clip(waves / 4 + 0.5 + 0.5 * (fractal(rng, height, width) - 0.5), 0, 1)
    return mix(colour(rng), colour(rng), amount.astype(np.float32))


def _strands(rng: np.random.Generator, height: int, width: int) -> Image:
    """Noise stretched along one direction at any angle: hair, grass, water, bark, brushed things."""
    side = int(np.hypot(height, width)) + 2
    stretch = float(np.exp(rng.uniform(0, np.log(14))))
    noise = fractal(rng, side, max(8, int(side / stretch)), rng.uniform(0.6, 1.05))
    noise = cv2.resize(noise, (side, side), interpolation=cv2.INTER_LINEAR)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 180), 1.0)
    noise = cv2.warpAffine(noise, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    top, left = (side - height) // 2, (side - width) // 2
    part = noise[top : top + height, left : left + width]
    part = np.clip((part - np.float32(part.mean())) * rng.uniform(1, 4) + 0.5, 0, 1)
    return mix(colour(rng, 0.7, 0, 150), colour(rng, 0.7, 80, 256), part)


def wild(rng: np.random.Generator, height: int, width: int) -> Image:
    """Ragged regions of strands, with rails, masts, cables and twigs before them."""
    image = _strands(rng, height, width)
    for _ in range(int(rng.integers(1, 5))):
        region = fractal(rng, height, width, rng.uniform(0.3, 0.7)) > rng.uniform(0.45, 0.7)
        np.copyto(image, _strands(rng, height, width), where=region[:, :, None])
    for _ in range(int(rng.integers(0, 5))):
        count, lean = int(rng.integers(3, 26)), rng.uniform(0, np.pi)
        along = np.array([np.cos(lean), np.sin(lean)])
        start = rng.uniform(-0.1, 1.0, 2) * (width, height)
        gap, reach = rng.uniform(3, 40), rng.uniform(0.05, 0.9) * max(height, width)
        shade = colour(rng, 0.5, 0, 256)
        for number in range(count):
            foot = start + number * gap * rng.uniform(0.8, 1.2) * np.array([-along[1], along[0]])
            tip = foot + along * reach * rng.uniform(0.7, 1.1) + rng.normal(0, 0.03, 2) * reach
            ends = foot.astype(int).tolist(), tip.astype(int).tolist()
            thick = int(rng.integers(1, max(2, int(gap * 0.6))))
            near = np.clip(np.array(shade) + rng.integers(-25, 26), 0, 255).tolist()
            cv2.line(image, *ends, near, min(thick, 9), cv2.LINE_AA)
    return grain(rng, image, rng.uniform(0, 8))


BACKGROUNDS: Final[dict[str, tuple[float, Background]]] = {
    "plain": (3.0, plain),
    "clouds": (2.0, clouds),
    "leaves": (3.0, leaves),
    "foliage": (1.2, foliage),
    "wood": (1.5, wood),
    "bricks": (1.0, bricks),
    "room": (2.0, room),
    "street": (1.3, street),
    "shelf": (1.0, shelf),
    "weave": (0.8, weave),
}
"""Every background with its weight."""


def background(rng: np.random.Generator, height: int, width: int) -> Image:
    """Make a background, out of focus in a third of the cases; BGR, shape (height, width, 3)."""
    weights = np.array([weight for weight, _ in BACKGROUNDS.values()])
    name = list(BACKGROUNDS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    image = BACKGROUNDS[name][1](rng, height, width)
    if rng.random() < 0.33:
        sigma = rng.uniform(0.8, 6.0)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    return image
