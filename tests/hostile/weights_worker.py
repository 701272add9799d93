"""Reads files of weights in a bounded process: standard input has lines of JSON {"format", "path"}, standard output,
for each, {"read": whether it was read, "error": the refusal, "kind": of an exception that nobody expected}."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from cpml_jax.errors import UserError
from hostile import weights
from hostile.worker import forget_peak, peak_megabytes


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        asked = json.loads(line)
        forget_peak()
        said, before, begun = {"read": True, "error": "", "kind": ""}, peak_megabytes(), time.process_time()
        try:
            weights.FORMATS[asked["format"]][1](Path(asked["path"]))
        except UserError as error:
            said |= {"read": False, "error": str(error)}
        except BaseException as error:
            said |= {"read": False, "error": str(error), "kind": type(error).__name__}
        more = {"megabytes": round(peak_megabytes() - before), "seconds": round(time.process_time() - begun, 3)}
        print(json.dumps(said | more), flush=True)


if __name__ == "__main__":
    main()
