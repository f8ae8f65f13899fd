"""Clients that send part of a request and then nothing more."""


def stalls(head: str, first: str) -> dict[str, str]:
    """What is sent; `head` is a request line with headers, `first` the beginning of a request line."""
    return {
        "nothing": "",
        "half a request line": first,
        "half a header": head,
        "no body": f"{head}Content-Length: 60000\r\n\r\n",
        "half a body": f"{head}Content-Length: 60000\r\n\r\n{'x' * 30000}",
        "a chunk that does not end": f"{head}Transfer-Encoding: chunked\r\n\r\nffff\r\nxx",
    }
