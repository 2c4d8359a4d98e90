"""The language of conditions: text is read (`syntax`), made sense of (`checking`), and evaluated (`running`).

`condition` puts the three together; `tree`, `names`, `units`, `signatures` and `needs` are the words they share.
"""
