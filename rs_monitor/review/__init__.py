"""The desk: evidence views of a run; nothing here decides.

``look`` opens a finished run and makes its tables, ``figures`` draws it, ``series`` reads the curve
of one patch from the scenes.
"""
