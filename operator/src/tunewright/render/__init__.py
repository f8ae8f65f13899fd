"""Renders a plan into Kubernetes objects.

Promises manifests that are complete, ordered and the same for the same plan. Every pod meets the restricted Pod Security Standard.
Cannot fail, because api/ and plan/ refuse every job that cannot be rendered. Decides nothing: every number that is not a property of
Kubernetes comes from the plan.
"""

from tunewright.render.labels import JsonObject
from tunewright.render.manifests import Rendering, render

__all__ = ["JsonObject", "Rendering", "render"]
