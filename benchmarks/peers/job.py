"""What a peer is given to do: four files, a database, and what the columns are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.contracts.model import Entity
from shared.mysql.connect import MySQLAddress


@dataclass(frozen=True, slots=True)
class Job:
    """The files of a drop, for a database of the peer's own.

    Attributes:
        drop: the folder with the files.
        address: the server, and the database that is to be written.
        entities: which files, parents first.
        folder: the peer's own, for settings and leftovers; empty at its first load and then kept.
        environment: the peer's virtual environment.
    """

    drop: Path
    address: MySQLAddress
    entities: tuple[Entity, ...]
    folder: Path
    environment: Path

    def url(self, scheme: str) -> str:
        """The database in the form of URL that most peers take."""
        it = self.address
        return f"{scheme}://{it.user}:{it.password}@{it.host}:{it.port}/{it.database}"

    def written(self, name: str, content: Any) -> Path:
        """A file of JSON in the peer's folder."""
        path = self.folder / name
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        return path

    def document(self) -> dict[str, Any]:
        """The job as the scripts that run in a peer's environment read it."""
        return {
            "url": self.url("mysql+pymysql"),
            "database": self.address.database,
            "drop": str(self.drop),
            "folder": str(self.folder),
            "entities": [
                {
                    "name": entity.name,
                    "file": entity.file_name,
                    "key": entity.key,
                    "columns": [
                        {
                            "name": column.name,
                            "kind": str(column.kind),
                            "size": column.size,
                            "scale": column.scale,
                        }
                        for column in entity.columns
                    ],
                }
                for entity in self.entities
            ],
        }
