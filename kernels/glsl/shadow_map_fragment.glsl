// SPDX-License-Identifier: GPL-3.0-or-later
// What the sun sees of a mesh: x its view depth, counted from clip_start as `corner_depth` is; y 1.

void main()
{
  sun_depth = vec4(corner_depth, 1.0, 0.0, 0.0);
}
