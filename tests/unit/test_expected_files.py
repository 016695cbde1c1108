import pytest

from anime.core.expected_files import expected_files
from anime.core.graphs import Graph, Node

PREFIX = "jobs/7/1/a"


def node(class_type: str, **inputs: object) -> Node:
    return {"class_type": class_type, "inputs": inputs}


def saved(*chain: Node, saver: str = "SaveImage") -> list[str]:
    """The names of what is saved; each node of the chain gets its pictures from the one before."""
    graph: Graph = {str(number): each for number, each in enumerate(chain)}
    last = [str(len(chain) - 1), 0]
    graph["9"] = node(saver, filename_prefix=PREFIX, images=last)
    return [file.filename for file in expected_files(graph, PREFIX)]


def of_length(count: int) -> list[str]:
    return [f"a_{number:05}_.png" for number in range(1, count + 1)]


CANVAS = node("EmptyLatentImage", width=64, height=64, batch_size=2)
SAMPLER = node("KSampler", latent_image=["0", 0], steps=4)
DECODER = node("VAEDecode", samples=["1", 0])


def test_a_batch_is_saved_as_one_file_for_each_picture() -> None:
    assert saved(CANVAS, SAMPLER, DECODER) == of_length(2)
    more = node("RepeatImageBatch", image=["2", 0], amount=3)
    assert saved(CANVAS, SAMPLER, DECODER, more) == of_length(6)


@pytest.mark.parametrize(("name", "count"), [("a.PNG", 1), ("b.jpg", 1), ("walk.gif", 0)])
def test_a_picture_that_may_have_frames_is_not_known_to_be_one(name: str, count: int) -> None:
    assert saved(node("LoadImage", image=name)) == of_length(count)


@pytest.mark.parametrize(
    "chain",
    [
        [node("EmptyImage", batch_size=["7", 0])],  # another node says how many
        [node("EmptyImage", batch_size=1), node("ImageBatch", image1=["0", 0], image2=["0", 0])],
        [node("EmptyImage", batch_size=1), node("Of an extension", images=["0", 0])],
        [
            node("EmptyHunyuanLatentVideo", length=25, batch_size=1),
            node("VAEDecode", samples=["0", 0]),
        ],
        [node("VAEDecode", samples=["0", 0])],  # of itself
        [node("VAEDecode")],
    ],
)
def test_nothing_is_expected_where_the_graph_does_not_tell_how_many_there_are(
    chain: list[Node],
) -> None:
    assert saved(*chain) == []


def test_a_film_is_one_file_whatever_its_frames_come_from() -> None:
    odd = node("Of an extension")
    assert saved(odd, saver="SaveWEBM") == ["a_00001_.webm"]
    assert saved(odd, saver="SaveOfAnExtension") == []
