// SPDX-License-Identifier: GPL-3.0-or-later
// Fills the surface buffers (see kernels/gpu/surfaces.py) where nothing is seen, or everywhere.
//   parameters 0: x 1 to keep the pixels that have an owner, 0 to fill all

void main()
{
  ivec2 pixel = ivec2(gl_GlobalInvocationID.xy);
  if (any(greaterThanEqual(pixel, imageSize(surface)))) {
    return;
  }
  if (parameters.values[0].x > 0.5 && imageLoad(owner, pixel).x > 0.5) {
    return;
  }
  imageStore(surface, pixel, vec4(0.0, 0.0, 0.0, NOTHING_SEEN));
  imageStore(owner, pixel, vec4(0.0, 0.0, -1.0, 0.0));
  imageStore(relief, pixel, vec4(1.0, 1.0, -1.0, 0.0));
}
