"""Contrast of text as WCAG 2 defines it, from the styles that the browser has computed."""

from __future__ import annotations

from playwright.sync_api import Locator

# Colours lie on their ancestors' with their opacities; what has none lies on white.
_MEASURE = r"""
root => {
  const parse = text => {
    const numbers = text.match(/^rgba?\(([^)]+)\)$/);
    if (!numbers) throw new Error(`a colour that is not understood: ${text}`);
    const [r, g, b, a = 1] = numbers[1].split(/[ ,\/]+/).map(Number);
    return {rgb: [r, g, b], a};
  };
  const over = (top, a, below) => top.map((value, i) => value * a + below[i] * (1 - a));
  const line = element => {
    const found = [];
    for (let e = element; e; e = e.parentElement) found.unshift(e);
    return found;
  };
  const ground = element => line(element).reduce((below, e) => {
    const {rgb, a} = parse(getComputedStyle(e).backgroundColor);
    return over(rgb, a, below);
  }, [255, 255, 255]);
  const opacity = element =>
    line(element).reduce((product, e) => product * Number(getComputedStyle(e).opacity), 1);
  const luminance = rgb => {
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map(value => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const measured = [];
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim();
    if (!text || element.tagName === "STYLE" || !element.checkVisibility()) continue;
    const below = ground(element), {rgb, a} = parse(getComputedStyle(element).color);
    const ink = luminance(over(rgb, a * opacity(element), below)), paper = luminance(below);
    measured.push([(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), text]);
  }
  return measured.sort((x, y) => x[0] - y[0])[0];
}
"""


def least_contrast(root: Locator) -> tuple[float, str]:
    """Return the lowest contrast of any visible text below `root`, and that text."""
    ratio, text = root.evaluate(_MEASURE)
    return float(ratio), str(text)
