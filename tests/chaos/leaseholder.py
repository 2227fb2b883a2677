"""An agent that uses a resource while it has the lease: `python -m tests.chaos.leaseholder NAME URLS PORT TTL SECONDS`.

It acquires, writes its name and token to the resource at PORT for as long as it may (`lease.valid`), SECONDS at most,
gives the lease back and begins again; until it is ended. The resource answers ok or stale.
"""

import asyncio
import sys

import bus

RESOURCE = "the-resource"
WAIT_S = 60.0
PAUSE_S = 0.02


async def use(lease: bus.Lease, name: str, seconds: float, port: int) -> None:
    """Write while it may."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    try:
        while loop.time() < until and lease.valid:
            writer.write(f"{name} {lease.token}\n".encode())
            await writer.drain()
            if not await reader.readline():
                return
            await asyncio.sleep(PAUSE_S)
    finally:
        writer.close()


async def main(name: str, urls: str, port: int, ttl: float, seconds: float) -> None:
    """Until it is ended."""
    async with bus.connect(urls, name=name) as fleet:
        while True:
            try:
                async with fleet.leases.acquire(RESOURCE, ttl=ttl, wait=WAIT_S) as lease:
                    await use(lease, name, seconds, port)
            except (bus.FleetError, bus.LeaseRefused) as error:
                print(f"{name} goes on: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
