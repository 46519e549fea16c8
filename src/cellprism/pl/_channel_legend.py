"""Saying which colour is which channel."""

from typing import TYPE_CHECKING

from cellprism.pl._display import Display

if TYPE_CHECKING:
    import matplotlib.axes


def channel_legend(ax: "matplotlib.axes.Axes", display: Display) -> None:
    """Name the channels and their colours to the right of the axes, at its top, after what is named already."""
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=tuple(colour), edgecolor="0.3", linewidth=0.5, label=name)
        for name, colour in zip(display.names, display.colours, strict=True)
    ]
    handles = ax.get_legend_handles_labels()[0] + patches
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small", handlelength=1
    )


def channel_labels(ax: "matplotlib.axes.Axes", display: Display) -> None:
    """Write the channels' names into an image, each in its colour, from the lower left corner upwards."""
    from matplotlib.patheffects import withStroke

    for line, (name, colour) in enumerate(zip(display.names, display.colours, strict=True)):
        ax.annotate(
            name,
            xy=(0, 0),
            xycoords="axes fraction",
            xytext=(2, 2 + 8 * line),
            textcoords="offset points",
            color=tuple(colour),
            fontsize=7,
            path_effects=[withStroke(linewidth=1.5, foreground="black")],
        )
