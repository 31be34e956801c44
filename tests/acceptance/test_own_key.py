"""The recipe of docs/howto/reach-a-node-from-another-host: Vera makes her key herself, its secret half stays hers."""

from __future__ import annotations

import json
from pathlib import Path

from support.nodes import actorctl, node

CONFIG = 'version = 1\n[runtime]\nname = "keyed"\ntransport = "tcp"\n'


def test_a_key_made_in_a_folder_of_ones_own_is_let_in_by_its_public_half(tmp_path: Path) -> None:
    mine, hers = tmp_path / "node", tmp_path / "hers"
    mine.mkdir()
    (hers / ".actors").mkdir(parents=True)
    (mine / "actors.toml").write_text(CONFIG)

    made = actorctl("key", "new", "vera", cwd=hers)
    shown = actorctl("key", "show", "vera", "-o", "json", cwd=hers)

    assert (made.code, shown.code) == (0, 0), (made, shown)
    public = shown.items[0]["public"]
    with node(mine) as running:
        running.wait_ready()
        added = running.ctl("key", "add", "vera", "--public", public)
        listed = running.ctl("key", "list", "-o", "json")
        assert added.code == 0, added
        assert "vera" in {item["name"] for item in listed.items}
    own = json.loads((hers / ".actors" / "run" / "keys" / "vera.json").read_text())
    assert own["public"] == public
    kept = b"".join(path.read_bytes() for path in mine.rglob("*") if path.is_file())
    assert public.encode() in kept
    assert own["secret"].encode() not in kept
