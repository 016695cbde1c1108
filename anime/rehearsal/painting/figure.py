"""The figure in the foreground: seen from behind, looking at the horizon, hair in the wind."""

from collections.abc import Iterator

from anime.rehearsal.painting.canvas import Canvas, Shape, oval
from anime.rehearsal.painting.motif import Color, Figure, mix

HEADS = 6.4  # a figure is so many heads tall
SKIN: Color = (250, 222, 202)
WHITE: Color = (240, 240, 248)
DARK: Color = (52, 48, 68)
HAIR = ((58, 44, 62), (112, 66, 48), (196, 150, 96), (84, 96, 150), (206, 110, 132))
CLOTH = ((44, 58, 110), (146, 52, 66), (52, 92, 96), (84, 62, 108))
STEPS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)  # along a strand of hair
# In heads, x from the middle of the body, y up from the feet; the left half mirrors this right one.
NECK = ((0, 5.5), (0.16, 5.5), (0.2, 5.0), (0, 5.0))
ARM = ((0.5, 4.3), (0.71, 4.25), (0.86, 3.0), (0.68, 3.0))
SLEEVE = ((0.35, 5.12), (0.65, 5.0), (0.8, 3.9), (0.51, 3.9))
LEG = ((0.02, 3.0), (0.42, 3.0), (0.34, 0.1), (0.1, 0.1))
BOOT = ((0.06, 1.35), (0.38, 1.35), (0.41, -0.03), (0.03, -0.03))


def paint_figure(canvas: Canvas, ground: float) -> None:
    """Stand the motif's figure, if any, with its feet at `ground`."""
    if canvas.motif.figure is Figure.NOBODY:
        return
    palette, random = canvas.palette, canvas.random("figure")
    head = 0.5 * min(canvas.height, 1.15 * canvas.width) / HEADS
    wind, share = (-1, 0.0) if canvas.light_at[0] > canvas.width / 2 else (1, 0.28)
    middle = canvas.width * (random.uniform(0.3, 0.42) + share)
    parts = list(_parts(canvas, random.choice(HAIR), random.choice(CLOTH), wind))
    canvas.glow((middle, ground), (head * 2, head * 0.25), mix(palette.near, (0, 0, 0), 0.4), 0.9)
    rim, shade = mix(palette.light, palette.horizon, 0.5), 0.22 + 0.55 * canvas.darkness
    for offset, lit in ((0.04, 1.0), (0.0, 0.0)):  # the light that shows at the edge comes first
        x, y = middle - wind * offset * head, ground - offset * head
        for color, outlines in parts:
            shapes = [[(x + a * head, y - b * head) for a, b in outline] for outline in outlines]
            canvas.fill(shapes, mix(mix(color, palette.near, shade), rim, lit))


def _parts(
    canvas: Canvas, hair: Color, cloth: Color, wind: int
) -> Iterator[tuple[Color, list[Shape]]]:
    """Coloured pieces, the rear ones first; the wind blows to the right (1) or the left (-1)."""
    is_girl = canvas.motif.figure is Figure.GIRL
    limbs = ((SKIN if is_girl else DARK, LEG), (DARK, BOOT), (SKIN, ARM), (SKIN, NECK))
    for color, half in (*limbs, (WHITE if is_girl else cloth, SLEEVE)):
        yield color, [half, [(-x, y) for x, y in half]]
    wide, low = (0.8, 2.5) if is_girl else (0.58, 3.0)
    blow = wind * (0.13 + canvas.sway(0.06, 0.1))
    hem = [(blow - wide, low + 0.1), (blow, low), (blow + wide, low + 0.1)]
    yield cloth, [[(0.4, 3.8), (0.48, 5.2), (-0.48, 5.2), (-0.4, 3.8), *hem]]
    long, blown = (1.0, 1.0) if is_girl else (0.45, 0.2)
    strands = [oval((0, 5.9), (0.53, 0.58))]
    for index in range(7):
        root, swing = 0.16 * index - 0.43, canvas.sway(0.1, index / 9)
        reach = wind * (0.55 + 0.16 * (index if wind > 0 else 6 - index)) + swing
        fall = long * (1.6 - 0.065 * (index * 5 % 7) - 0.35 * swing)
        curve = [(root + blown * reach * t**2, 5.9 - fall * t, 0.17 * (1 - t)) for t in STEPS]
        left, right = ([(x + side * half, y) for x, y, half in curve] for side in (-1, 1))
        strands.append([*left, *reversed(right)])
    yield hair, strands
