"""The settings as a backup keeps them: for people to read, without anything secret."""

import json
import re

from pydantic import SecretStr

from anime.settings import Settings

# In whatever text a login may stand: everything before the last @ of an address.
_LOGIN = re.compile(r"(?<=://)[^/\s,]*@")


def settings_text(settings: Settings) -> str:
    """Each setting that is not its default, by its variable; of secrets only that they are set."""
    fields = type(settings).model_fields
    secret = [name for name in fields if isinstance(getattr(settings, name), SecretStr)]
    told = settings.model_dump(mode="json", exclude_defaults=True, exclude=set(secret))
    kept = {
        _variable(name): _LOGIN.sub("", value) if isinstance(value, str) else value
        for name, value in told.items()
    }
    said = {"settings": kept, "set_but_not_kept": list(map(_variable, secret))}
    return json.dumps(said, indent=2) + "\n"


def _variable(name: str) -> str:
    return (name if name.startswith("prefect_api") else f"anime_{name}").upper()
