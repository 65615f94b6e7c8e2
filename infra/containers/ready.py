"""Whether the service of this container can work: the health check of the image."""

import http.client
import os
import sys

# Docker gives the check 10 s; so what it says is why, and not that it was too late.
PATIENCE_SECONDS = 8


def main() -> int:
    """Ask, and pass the answer on: 0 if the service is ready, 1 if it is not."""
    port = int(os.environ["PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode())
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"the service does not answer on port {port}: {error}")
        return 1
    finally:
        connection.close()
    return int(answer.status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main())
