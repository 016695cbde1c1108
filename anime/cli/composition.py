"""What a request becomes, as a table with where each part is from."""

from anime.cli.terminal import line_of, print_json, print_note, print_table
from anime.core.composition.record import Composition


def show_composition(composition: Composition, *, json: bool) -> None:
    """Print the composition, with what disagrees and what is left out."""
    if json:
        print_json(composition.model_dump(mode="json"))
        return
    request = composition.request
    rendered = request.model_dump(
        mode="json", exclude_defaults=True, exclude={"project", "character", "characters", "shot"}
    )
    print_table(
        ("what is rendered", ""), [(name, line_of(each)) for name, each in rendered.items()]
    )
    print_table(
        ("field", "text", "from"),
        [(each.field, each.text, each.source) for each in composition.fragments],
    )
    for line in (*composition.conflicts, *composition.warnings):
        print_note(line)
