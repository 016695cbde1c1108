"""What a request becomes with the style of its project and the characters that it names.

`compose.compose` is the way in. The style belongs to the project and the appearance to the
character; the request wins over both. Where two of them disagree, that is said.
"""
