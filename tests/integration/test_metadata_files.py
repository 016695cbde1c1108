"""Files as programs really write them: whole, measured and read in spite of what they say."""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from anime.assets.inspection.exr import exr_texts
from anime.assets.inspection.facts import Inspection
from anime.assets.inspection.whole_file import inspect_file
from anime.assets.thumbnails import draw_thumbnail, first_frame
from anime.cli.app import app
from anime.core.paths import FileKind
from anime.errors import UnusableFile, UnusableReason
from tests.integration.media_samples import (
    FPS,
    FRAMES,
    GRAPH,
    PARAMETERS,
    SIZE,
    TEXTS,
    draw,
    film,
    picture,
    sound,
)

SECONDS = FRAMES / FPS


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def with_chunk(png: Path, kind: bytes, body: bytes) -> Path:
    """The PNG with a chunk before its pixels."""
    content = png.read_bytes()
    at = content.index(b"IDAT") - 4
    png.write_bytes(content[:at] + chunk(kind, body) + content[at:])
    return png


def trimmed(source: Path, target: Path, begin: float) -> Path:
    """A copy of the streams from `begin` on; what comes before is there, and hidden."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in clip.streams}
        for packet in clip.demux():
            if packet.pts is None or packet.dts is None:
                continue
            shift = round(begin / packet.time_base)
            is_film = packet.stream.type == "video"
            if is_film or packet.pts >= shift:  # the film has to begin with its only key frame
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return target


def frames_of(shade: int, number: int) -> Iterator[av.VideoFrame]:
    for index in range(number):
        frame = av.VideoFrame.from_image(picture(shade + index))  # type: ignore[no-untyped-call]
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        yield frame


def video_stream(out: av.container.OutputContainer) -> VideoStream:
    stream = out.add_stream("libx264", rate=FPS)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = SIZE
    stream.pix_fmt = "yuv420p"
    return stream


def two_films(target: Path) -> Path:
    """Two streams of pictures, of which the second is longer."""
    with av.open(str(target), "w") as out:
        streams = [video_stream(out), video_stream(out)]
        for stream, number in zip(streams, (FRAMES, 3 * FRAMES), strict=True):
            for frame in frames_of(0, number):
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return target


def late_subtitle(target: Path) -> Path:
    """A film with a subtitle that is shown long after its end."""
    words = io.BytesIO(b"1\n00:00:09,000 --> 00:00:20,000\nlater\n")
    with av.open(words, "r", format="srt") as subtitles, av.open(str(target), "w") as out:
        stream = video_stream(out)
        track = out.add_stream_from_template(subtitles.streams.subtitles[0])
        for frame in frames_of(0, FRAMES):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for packet in subtitles.demux():
            if packet.size:
                packet.stream = track
                out.mux(packet)
    return target


def turned(target: Path) -> Path:
    """A film that is stored lying on its side."""
    with av.open(str(target), "w") as out:
        stream = video_stream(out)
        stream.set_display_rotation(90)
        for frame in frames_of(0, FRAMES):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def guessed_wrongly(target: Path) -> Path:
    """An MP3 without a Xing header whose beginning has a low bit rate, and the rest a high one."""
    parts = []
    for rate in (32_000, 320_000):
        stream = io.BytesIO()
        options = {"write_xing": "0", "id3v2_version": "0"}
        with av.open(stream, "w", format="mp3", options=options) as out:
            track = out.add_stream("libmp3lame", rate=48_000, layout="mono", bit_rate=rate)
            for number in range(60):
                frame = av.AudioFrame(format="s16p", layout="mono", samples=1152)
                frame.planes[0].update(picture(number).tobytes()[:2304])
                frame.sample_rate, frame.pts = 48_000, number * 1152
                frame.time_base = Fraction(1, 48_000)
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
        parts.append(stream.getvalue())
    target.write_bytes(b"".join(parts))
    return target


def long_film(folder: Path) -> Path:
    return film(folder / "long.mp4", "libx264", "aac")


MAKERS: dict[str, Callable[[Path], Path]] = {
    "pcm.mov": lambda folder: film(folder / "pcm.mov", "libx264", "pcm_s16le"),
    "trimmed.mp4": lambda folder: trimmed(long_film(folder), folder / "trimmed.mp4", 0.5),
    "silent.mp4": lambda folder: trimmed(
        film(folder / "long.mp4", "libx264", None), folder / "silent.mp4", 0.5
    ),
    "subtitle.mkv": lambda folder: late_subtitle(folder / "subtitle.mkv"),
    "two.mp4": lambda folder: two_films(folder / "two.mp4"),
}
SHOWN = {
    "pcm.mov": (FRAMES, SECONDS),
    "trimmed.mp4": (FRAMES - FPS // 2, SECONDS - 0.5),
    "silent.mp4": (FRAMES - FPS // 2, SECONDS - 0.5),  # what the edit list hides is there
    "subtitle.mkv": (FRAMES, SECONDS),
    "two.mp4": (FRAMES, SECONDS),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_film_is_as_long_as_its_own_stream_shows(tmp_path: Path, name: str) -> None:
    found = inspect_file(MAKERS[name](tmp_path))
    frames, seconds = SHOWN[name]
    assert (found.kind, found.frames) == (FileKind.VIDEOS, frames)
    assert found.duration_seconds == pytest.approx(seconds, abs=0.1)


def test_a_sound_in_a_film_container_is_whole(tmp_path: Path) -> None:
    found = inspect_file(sound(tmp_path / "pcm.mov", "pcm_s16le"))
    assert (found.media_type, found.frames) == ("audio/mp4", None)
    assert found.duration_seconds == pytest.approx(SECONDS, abs=0.05)


def test_the_length_of_a_sound_is_measured_where_its_file_does_not_say_it(tmp_path: Path) -> None:
    found = inspect_file(guessed_wrongly(tmp_path / "quiet.mp3"))
    assert found.duration_seconds == pytest.approx(2 * 60 * 1152 / 48_000, abs=0.2)


def test_a_film_is_as_wide_as_it_is_shown(tmp_path: Path) -> None:
    path = turned(tmp_path / "turned.mp4")
    found = inspect_file(path)
    assert (found.width, found.height) == SIZE[::-1]
    assert first_frame(path).size == SIZE[::-1]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
async def test_a_picture_is_as_wide_as_it_is_shown(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / f"turned.{suffix}"
    picture().save(path, exif=exif)
    found = inspect_file(path)
    assert (found.width, found.height) == SIZE[::-1]
    await draw_thumbnail(path, tmp_path / "t.webp")
    with Image.open(tmp_path / "t.webp") as small:
        assert small.size == SIZE[::-1]


def test_a_depth_map_of_16_bits_is_grey_when_small(tmp_path: Path) -> None:
    depth = Image.new("I;16", (3, 1))
    for x, value in enumerate((0, 32_768, 65_535)):
        depth.putpixel((x, 0), value)
    depth.save(tmp_path / "depth.png")
    shown = first_frame(tmp_path / "depth.png")
    assert [shown.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (127,) * 3, (255,) * 3]


async def test_a_transparent_picture_is_transparent_when_small(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (200, 10, 10, 0)).save(tmp_path / "clear.png")
    await draw_thumbnail(tmp_path / "clear.png", tmp_path / "t.webp")
    with Image.open(tmp_path / "t.webp") as small:
        assert small.convert("RGBA").getpixel((4, 4))[3] == 0  # type: ignore[index]


def test_exif_in_a_png_is_read_like_that_of_a_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a scanner"  # Pillow writes none with an empty first directory
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + PARAMETERS.encode(
        "utf-16-be"
    )
    path = tmp_path / "exif.png"
    picture().save(path, exif=exif)
    assert inspect_file(path).recipe().prompt == "petals"


@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_exif_that_a_png_keeps_as_a_text_is_read(tmp_path: Path, name: str) -> None:
    """As ImageMagick wrote it before there was a chunk for it."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = PARAMETERS
    raw = exif.tobytes()
    digits = "\n".join(raw.hex()[at : at + 72] for at in range(0, 2 * len(raw), 72))
    texts = {f"Raw profile type {name}": f"\n{name}\n{len(raw):8}\n{digits}\n"}
    assert inspect_file(draw(tmp_path / "a.png", texts=texts)).recipe().prompt == "petals"
    broken = {f"Raw profile type {name}": f"\n{name}\n   99999\nno digits"}
    assert inspect_file(draw(tmp_path / "b.png", texts=broken)).texts == {}


def test_each_comment_of_a_jpeg_is_read(tmp_path: Path) -> None:
    """As converters write them that keep a PNG's texts."""
    path = tmp_path / "once.jpg"
    picture().save(path)
    start, rest = path.read_bytes()[:2], path.read_bytes()[2:]
    for text in (f"parameters: {PARAMETERS}", f"prompt: {json.dumps(GRAPH)}", "Extra: words"):
        start += b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text.encode()
    path.write_bytes(start + rest)
    assert inspect_file(path).texts == {"prompt": json.dumps(GRAPH), "parameters": PARAMETERS}


def test_xmp_in_a_png_is_read(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", f"<a xmlns:b='urn:b' b:parameters='{PARAMETERS}'/>")
    picture().save(tmp_path / "xmp.png", pnginfo=info)
    # An attribute has no line breaks: XML makes blanks of them.
    assert inspect_file(tmp_path / "xmp.png").texts["parameters"].startswith("petals Negative")


def test_utf_8_in_a_plain_text_is_read_as_such(tmp_path: Path) -> None:
    picture().save(tmp_path / "utf8.png")
    with_chunk(tmp_path / "utf8.png", b"tEXt", "parameters\0夜の街\nSteps: 3, Seed: 1".encode())
    assert inspect_file(tmp_path / "utf8.png").recipe().prompt == "夜の街"


def test_comfyuis_own_animated_png_is_read(tmp_path: Path) -> None:
    info = PngInfo()
    for name, text in TEXTS.items():
        info.add(b"comf", f"{name}\0{text}".encode("latin-1"), after_idat=True)
    path = tmp_path / "moves.png"
    rest = [picture(60), picture(120)]
    picture().save(path, pnginfo=info, save_all=True, append_images=rest, duration=100)
    recipe = inspect_file(path).recipe()
    assert (recipe.prompt, recipe.editor_workflow) == ("petals", {"nodes": []})


def test_frames_that_an_encoder_merged_are_shown_as_long_as_before(tmp_path: Path) -> None:
    """Pillow writes equal frames once, and shows them longer; ComfyUI's node writes through it."""
    path = tmp_path / "still.png"
    first, second, third = (Image.new("RGB", SIZE, (shade,) * 3) for shade in (0, 90, 180))
    first.save(path, save_all=True, append_images=[first, second, third], duration=100)
    found = inspect_file(path)
    assert (found.media_type, found.frames) == ("image/apng", 3)
    assert found.duration_seconds == pytest.approx(0.4)
    first.save(path, save_all=True, append_images=[first], duration=100)
    assert (inspect_file(path).media_type, inspect_file(path).frames) == ("image/png", 1)


@pytest.mark.parametrize(
    "last", ["Sampler: Euler a, Seed: 5, Steps: 3", "Seed: 5, Size: 64x48, V: 1"]
)
def test_settings_are_the_last_line_of_three_pairs_whichever_comes_first(
    tmp_path: Path, last: str
) -> None:
    path = draw(tmp_path / "a.png", texts={"parameters": f"petals\nNegative prompt: rain\n{last}"})
    recipe = inspect_file(path).recipe()
    assert (recipe.prompt, recipe.negative_prompt, recipe.seed) == ("petals", "rain", "5")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_texts_hidden_in_an_alpha_channel_are_read(tmp_path: Path, suffix: str) -> None:
    said = b"stealth_pnginfo" + (len(PARAMETERS) * 8).to_bytes(4, "big") + PARAMETERS.encode()
    bits = "".join(f"{byte:08b}" for byte in said)
    image = Image.new("RGBA", SIZE, (9, 9, 9, 254))
    for number, bit in enumerate(bits):
        column, row = divmod(number, SIZE[1])
        image.putpixel((column, row), (9, 9, 9, 254 | int(bit)))
    path = tmp_path / f"hidden.{suffix}"
    image.save(path, lossless=True, exact=True)  # of which PNG takes no notice
    assert inspect_file(path).recipe().prompt == "petals"


def test_a_telephones_picture_is_no_film_whatever_its_name(tmp_path: Path) -> None:
    box = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")
    (tmp_path / "phone.jpg").write_bytes(box + struct.pack(">I4s", 8, b"mdat"))
    with pytest.raises(UnusableFile, match=r"phone\.jpg cannot be decoded here") as caught:
        inspect_file(tmp_path / "phone.jpg")
    assert caught.value.reason is UnusableReason.NOT_MEDIA


def box(kind: bytes, body: bytes, version: int | None = None) -> bytes:
    flags = b"" if version is None else struct.pack(">B3x", version)
    return struct.pack(">I4s", 8 + len(flags + body), kind) + flags + body


def telephones_picture(
    target: Path, texts: Sequence[tuple[bytes, bytes]] = (), *, is_inside: bool = False
) -> Path:
    """A HEIC, put together by hand: FFmpeg reads them and writes none.

    Each of `texts` has a type; they lie behind the picture, or with what says where they are.
    """
    codec = av.CodecContext.create("libx265", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = *SIZE, "yuv420p"
    codec.time_base, codec.options = Fraction(1, 1), {"x265-params": "log-level=none"}
    [frame] = frames_of(0, 1)
    stream = b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))
    units = [unit for unit in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    heads = [unit for unit in units if unit[0] >> 1 in {32, 33, 34}]  # VPS, SPS, PPS
    pixels = b"".join(struct.pack(">I", len(u)) + u for u in units if u[0] >> 1 < 32)
    setup = b"\1" + heads[1][3:15] + bytes.fromhex("f000fcfdf8f800000f") + bytes([len(heads)])
    setup += b"".join(struct.pack(">BHH", u[0] >> 1, 1, len(u)) + u for u in heads)
    properties = box(b"hvcC", setup) + box(b"ispe", struct.pack(">II", *SIZE), 0)

    def meta(at: int) -> bytes:
        kinds = [b"hvc1\0", *(kind for kind, _ in texts)]
        kind = b"".join(
            box(b"infe", struct.pack(">HH", number, 0) + each, 2)
            for number, each in enumerate(kinds, 1)
        )
        place = struct.pack(">BBH", 0x44, 0, len(kinds))
        begin = 0 if is_inside else at + len(pixels)
        pieces = [(0, at, pixels)]
        for _, text in texts:
            pieces.append((1, begin, text))
            begin += len(text)
        for number, (method, first, content) in enumerate(pieces, 1):
            place += struct.pack(">HH", number, method)[: 4 if is_inside else 2]
            place += struct.pack(">HHII", 0, 1, first, len(content))
        uses = box(b"ipma", struct.pack(">IHBBB", 1, 1, 2, 0x81, 2), 0)
        return box(
            b"meta",
            box(b"hdlr", bytes(4) + b"pict" + bytes(13), 0)
            + box(b"pitm", struct.pack(">H", 1), 0)
            + box(b"iloc", place, int(is_inside))
            + box(b"iinf", struct.pack(">H", len(kinds)) + kind, 0)
            + box(b"iprp", box(b"ipco", properties) + uses)
            + (box(b"idat", behind) if is_inside else b""),
            0,
        )

    behind = b"".join(text for _, text in texts)
    brands = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    begin = brands + meta(len(brands) + len(meta(0)) + 8)
    target.write_bytes(begin + box(b"mdat", pixels + (b"" if is_inside else behind)))
    return target


def tags() -> bytes:
    """An item of EXIF, with some bytes before its header."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0x9286] = b"ASCII\0\0\0" + PARAMETERS.encode()
    exif[0x0110], exif[0x010E] = f"prompt:{json.dumps(GRAPH)}", 'workflow:{"nodes": []}'
    return struct.pack(">I", 6) + exif.tobytes()


XMP = b'<x xmlns:a="b" a:UserComment="seen"/>'


@pytest.mark.parametrize("is_inside", [False, True])
def test_exif_and_xmp_of_a_telephones_picture_are_read(tmp_path: Path, *, is_inside: bool) -> None:
    texts = [(b"mime\0application/rdf+xml\0", XMP), (b"Exif\0", tags())]
    path = telephones_picture(tmp_path / "a.heic", texts, is_inside=is_inside)
    recipe = inspect_file(path).recipe()
    assert (recipe.graph, recipe.editor_workflow) == (GRAPH, {"nodes": []})
    assert (recipe.parameters, recipe.texts) == (PARAMETERS, {"UserComment": "seen"})


@pytest.mark.parametrize("exif", [b"", b"\xff\xff\xff\xff", tags()[:12]], ids=["no", "far", "cut"])
def test_exif_that_is_broken_leaves_a_telephones_picture_as_it_is(
    tmp_path: Path, exif: bytes
) -> None:
    path = telephones_picture(tmp_path / "a.heic", [(b"Exif\0", exif)])
    found = inspect_file(path)
    assert ((found.width, found.height), found.texts) == (SIZE, {})


def test_a_telephones_picture_is_measured_whatever_its_name(tmp_path: Path) -> None:
    found = inspect_file(telephones_picture(tmp_path / "phone.jpg"))
    assert (found.media_type, found.kind) == ("image/heic", FileKind.IMAGES)
    assert ((found.width, found.height), found.frames) == (SIZE, 1)


def high_dynamic_range_picture(path: Path, texts: Mapping[str, str]) -> Path:
    """An EXR as ComfyUI 0.33 saves it: its texts among the attributes of the header."""
    codec = av.CodecContext.create("exr", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = *SIZE, "gbrpf32le"
    codec.time_base = Fraction(1, 1)
    [frame] = frames_of(0, 1)
    packets = [*codec.encode(frame.reformat(format="gbrpf32le")), *codec.encode(None)]
    data = b"".join(bytes(packet) for packet in packets)
    more = b"".join(
        name.encode() + b"\0string\0" + struct.pack("<i", len(text.encode())) + text.encode()
        for name, text in texts.items()
    )
    lines = struct.Struct(f"<{SIZE[1]}Q")  # where each line of pixels is, from the file's start
    table = next(
        at for at in range(len(data)) if struct.unpack_from("<Q", data, at) == (at + lines.size,)
    )
    moved = [at + len(more) for at in lines.unpack_from(data, table)]
    path.write_bytes(
        data[:8] + more + data[8:table] + lines.pack(*moved) + data[table + lines.size :]
    )
    return path


def test_a_high_dynamic_range_picture_is_measured(tmp_path: Path) -> None:
    found = inspect_file(high_dynamic_range_picture(tmp_path / "a.exr", {}))
    assert (found.media_type, found.kind) == ("image/x-exr", FileKind.IMAGES)
    assert (found.width, found.height) == SIZE
    assert first_frame(tmp_path / "a.exr").size == SIZE
    assert found.texts == {"writer": "lavc"}


def test_the_graph_of_a_high_dynamic_range_picture_is_read(tmp_path: Path) -> None:
    texts = {"prompt": json.dumps(GRAPH), "workflow": '{"nodes": [], "猫": 1}'}
    found = inspect_file(high_dynamic_range_picture(tmp_path / "a.exr", texts))
    assert (found.texts, found.recipe().source) == ({**texts, "writer": "lavc"}, "comfyui")
    assert first_frame(tmp_path / "a.exr").size == SIZE


@pytest.mark.parametrize("kept", [9, 12, 20, 30, -1])
def test_attributes_that_are_cut_short_are_no_texts(kept: int) -> None:
    header = (
        b"\x76\x2f\x31\x01" + bytes(4) + b"prompt\0string\0" + struct.pack("<i", 9) + b"whole: ok"
    )
    assert exr_texts(io.BytesIO(header)) == {"prompt": "whole: ok"}
    assert exr_texts(io.BytesIO(header[:kept])) == {}
    assert exr_texts(io.BytesIO(header.replace(b"\x09\0\0\0", b"\xff" * 4))) == {}


@pytest.mark.parametrize("suffix", ["tiff", "bmp"])
def test_further_pictures_are_measured(tmp_path: Path, suffix: str) -> None:
    found = inspect_file(draw(tmp_path / f"a.{suffix}"))
    assert (found.media_type, found.width, found.frames) == (f"image/{suffix}", SIZE[0], 1)


def test_a_comment_in_a_gif_is_read(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.gif", comment=PARAMETERS.encode())
    assert inspect_file(tmp_path / "a.gif").recipe().prompt == "petals"


def glb(scene: object, *, missing: int = 0) -> bytes:
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + missing, len(text), b"JSON")
    return head + text


def test_a_model_in_three_dimensions_says_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "mesh.glb"
    extras = {"prompt": json.dumps(GRAPH), "workflow": {"nodes": []}}
    path.write_bytes(glb({"asset": {"version": "2.0", "extras": extras}}))
    found = inspect_file(path)
    assert found.media_type == "model/gltf-binary"
    assert found.recipe().prompt == "petals"
    path.write_bytes(glb({"asset": {}}, missing=8))
    with pytest.raises(UnusableFile, match=r"mesh\.glb has .* bytes and should have"):
        inspect_file(path)


MESHES = {
    "a.gltf": json.dumps({"asset": {"extras": {"prompt": json.dumps(GRAPH)}}}).encode(),
    "a.obj": b"# made by a node\nv 0 0 0\n",
    "a.stl": bytes(80) + (2).to_bytes(4, "little") + bytes(100),
    "b.stl": b"solid mesh\nendsolid mesh\n",
    "a.ply": b"ply\nformat ascii 1.0\nend_header\n",
    "a.fbx": b"Kaydara FBX Binary  \0\x1a\0",
    "a.usdz": b"PK\x03\x04" + bytes(60),
    "a.splat": bytes(64),
    "a.spz": gzip.compress(b"NGSP" + bytes(60)),
}


@pytest.mark.parametrize("name", MESHES)
def test_other_models_in_three_dimensions_are_files_if_their_content_fits_the_name(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(MESHES[name])
    found = inspect_file(path)
    assert found.media_type.startswith("model/")
    assert found.recipe().prompt == ("petals" if name == "a.gltf" else None)
    path.write_bytes(b"<html>Not found, says the partner's server</html>")
    with pytest.raises(UnusableFile, match="is no picture, film or sound"):
        inspect_file(path)


def remuxed(source: Path, target: Path, *, keeps_tags: bool) -> Path:
    """A copy of the streams in another container, with the tags where they are on a stream."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(clip.streams.video[0])
        if keeps_tags:
            stream.metadata.update(clip.metadata)
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.mark.parametrize("keeps_tags", [True, False])
def test_tags_are_found_on_a_stream_and_nothing_is_made_up(
    tmp_path: Path, keeps_tags: bool
) -> None:
    source = film(tmp_path / "film.mp4", "libx264", None)
    found: Inspection = inspect_file(remuxed(source, tmp_path / "b.mkv", keeps_tags=keeps_tags))
    assert found.recipe().prompt == ("petals" if keeps_tags else None)


def test_the_command_needs_nothing_but_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"words")
    shown = CliRunner().invoke(app, ["metadata", "--json", "--raw", str(draw(tmp_path / "a.png"))])
    [said] = json.loads(shown.stdout)
    assert (shown.exit_code, said["prompt"], said["seed"]) == (0, "petals", "7")
    assert said["raw"] == TEXTS
    both = CliRunner().invoke(app, ["metadata", str(broken), str(tmp_path / "a.png")])
    assert both.exit_code == 1
    assert "broken.png is no picture, film or sound" in both.stderr
    assert "prompt: petals" in both.stdout
