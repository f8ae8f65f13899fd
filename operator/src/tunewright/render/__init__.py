"""A decided plan becomes the Kubernetes objects that carry it out.

Promises manifests that are complete, ordered and the same for the same plan; every pod meets the restricted Pod Security Standard.
Cannot fail: whatever could not be rendered was refused by api/ or plan/. Decides nothing: a number that is not a property of
Kubernetes itself comes from the plan.
"""

from tunewright.render.labels import Manifest
from tunewright.render.manifests import Rendering, render

__all__ = ["Manifest", "Rendering", "render"]
