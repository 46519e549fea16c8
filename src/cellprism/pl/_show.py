"""When a figure is shown at once."""


def show_figure(show: bool | None, *, own_figure: bool) -> None:
    """Show the figure if asked to; by default only one made here, in an interactive session."""
    import matplotlib.pyplot as plt

    if show is None:
        show = own_figure and plt.isinteractive()
    if show:
        plt.show()
