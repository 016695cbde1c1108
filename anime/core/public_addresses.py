"""Which addresses are of the public internet: the only ones a stranger's URL may lead to."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether the address belongs to one machine of the public internet.

    An IPv6 address that stands for one of IPv4 is judged by that one.

    Raises:
        ValueError: the text is no address.

    >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _carried_by(ip)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_never_public(host: str) -> bool:
    """Whether the host of a URL leads to no public address, whatever DNS may say.

    >>> is_never_public("localhost."), is_never_public("[::1]"), is_never_public("example.com")
    (True, True, False)
    """
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return not is_public(bare)
    except ValueError:
        return False


def _carried_by(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets for it end at: mapped, 6to4 or NAT64."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
