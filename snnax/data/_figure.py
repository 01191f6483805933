"""A figure of a person: its build, the pose of its arms, and the picture that a camera sees."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The parts of the figure from back to front, as `capsules` gives them.
PARTS = (
    "torso",
    "head",
    "right upper arm",
    "left upper arm",
    "right forearm",
    "left forearm",
    "right hand",
    "left hand",
)


@dataclasses.dataclass(frozen=True)
class Body:
    """The build of a person, seen from the front, and where they stand.

    All lengths are in pixels. `x`, `y` is the point between the shoulders (x to the right and y downwards in the
    image); the subject's right arm is on the left of the image, as it is in a film made from the front.
    `half_shoulders` is half the distance between them, `upper_arm`, `forearm` and `hand` are the lengths of an arm's
    parts, `arm_radius` and `hand_radius` half their widths; the head has the radius `head_radius`, the torso
    `torso_length` and `torso_radius`.
    """

    x: float
    y: float
    half_shoulders: float
    upper_arm: float
    forearm: float
    hand: float
    arm_radius: float
    hand_radius: float
    head_radius: float
    torso_length: float
    torso_radius: float

    @property
    def reach(self) -> float:
        return self.upper_arm + self.forearm + self.hand


def elbow(shoulder: np.ndarray, wrist: np.ndarray, upper: float, fore: float, pole: np.ndarray):
    r"""Inverse kinematics of an arm with two bones: the elbow, and the wrist where it can be reached.

    The wrist is moved towards the shoulder when it is out of reach, and away from it when it is too near. With $d$
    the distance from shoulder to wrist, the elbow lies at $a = (u^2 - f^2 + d^2) / 2d$ along the line between them and
    at $\sqrt{u^2 - a^2}$ beside it, on the side of `pole`. All points are (time, 3): right, up, towards the camera.
    """
    line = wrist - shoulder
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    along = line / np.maximum(distance, 1e-6)
    distance = np.clip(distance, 1.05 * abs(upper - fore) + 0.15 * (upper + fore), 0.985 * (upper + fore))
    side = pole - (pole * along).sum(-1, keepdims=True) * along
    side = side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-6)
    part = (upper**2 - fore**2 + distance**2) / (2 * distance)
    height = np.sqrt(np.maximum(upper**2 - part**2, 0))
    return shoulder + part * along + height * side, shoulder + distance * along


def capsules(body: Body, right: np.ndarray, left: np.ndarray, sway: np.ndarray, shrug: np.ndarray) -> np.ndarray:
    """The figure as `PARTS`, one capsule each: (time, parts, 5), the columns x0, y0, x1, y1, radius in pixels.

    **Arguments:**

    - `body`: the build of the person.
    - `right`, `left`: where the subject's hands are, (time, 3), from the shoulder of the arm and in units of the arm's
        reach: outwards from the body, upwards, towards the camera.
    - `sway`: how far the whole body has moved in the image, (time, 2), pixels.
    - `shrug`: by how much the shoulders are raised, (time,), pixels.
    """
    time = len(sway)
    origin = np.stack([body.x + sway[:, 0], -body.y - sway[:, 1], np.zeros(time)], -1)
    limbs = []
    for outwards, hand in ((-1.0, right), (1.0, left)):
        shoulder = origin + np.stack([np.full(time, outwards * body.half_shoulders), shrug, np.zeros(time)], -1)
        mirror = np.array([outwards, 1.0, 1.0])
        palm = shoulder + body.reach * hand * mirror
        bones = body.upper_arm, body.forearm + body.hand
        bend, tip = elbow(shoulder, palm, *bones, np.array([0.7, -1.0, -0.3]) * mirror)
        wrist = bend + (tip - bend) * (body.forearm / bones[1])
        limbs.append((shoulder, bend, wrist, tip))
    down = np.array([0.0, -1.0, 0.0])
    inside = body.torso_radius
    head = origin - down * (1.55 * body.head_radius + 2.0)
    spans = [
        (origin + 0.85 * inside * down, origin + body.torso_length * down, inside),
        (head - down * 0.25 * body.head_radius, head + down * 0.25 * body.head_radius, body.head_radius),
    ]
    (rs, re, rw, rt), (ls, le, lw, lt) = limbs
    spans += [(rs, re, 1.15 * body.arm_radius), (ls, le, 1.15 * body.arm_radius)]
    spans += [(re, rw, body.arm_radius), (le, lw, body.arm_radius)]
    spans += [(rw, rt, body.hand_radius), (lw, lt, body.hand_radius)]
    columns = [
        np.stack([start[:, 0], -start[:, 1], end[:, 0], -end[:, 1], np.full(time, radius)], -1)
        for start, end, radius in spans
    ]
    return np.stack(columns, 1).astype(np.float32)


def render(
    parts: Float[Array, "parts 5"], shades: Float[Array, " parts"], background: Float[Array, "height width"]
) -> Float[Array, "height width"]:
    """Draws the capsules `parts`, (parts, 5) as in `capsules`, the later ones in front, over `background`.

    `shades` has the intensity of each part, `background` that of each pixel, (height, width); all are positive.

    The edge of a capsule is one pixel wide: its coverage of a pixel is `radius + 1/2 - distance`, within 0 and 1,
    where `distance` is that of the pixel's centre from the capsule's axis.
    """
    height, width = background.shape
    x = jnp.arange(width, dtype=background.dtype)[None, :]
    y = jnp.arange(height, dtype=background.dtype)[:, None]
    image = background
    for part, shade in zip(parts, shades, strict=True):
        x0, y0, x1, y1, radius = part
        along_x, along_y = x1 - x0, y1 - y0
        squared = jnp.maximum(along_x**2 + along_y**2, 1e-6)
        where = jnp.clip((x - x0) * (along_x / squared) + (y - y0) * (along_y / squared), 0, 1)
        distance = jnp.sqrt((x - x0 - where * along_x) ** 2 + (y - y0 - where * along_y) ** 2)
        coverage = jnp.clip(radius + 0.5 - distance, 0, 1)
        image = image + coverage * (shade - image)
    return image
