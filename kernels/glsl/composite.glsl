// SPDX-License-Identifier: GPL-3.0-or-later
// Surface buffers to colours, averaged into a picture. After rays.glsl and those of kernels/gpu/shading.py.
// Parameters after those of the rays:
//   0: xy the picture's pixel of the buffers' first; zw number of pixels to fill along x and y
//   1: x weight of this sample in the mean; y 1 for a transparent film; z what is shown: 0 the shaded picture, or in
//      false colours 1 the level, 2 the evaluations, 3 the place in the band
//   2 to 2 + COLORS: the false colours, see `false_colors.palette`

vec4 composite_row(int row)
{
  return parameters.values[RAY_PARAMETERS + row];
}

vec3 false_color(float number)
{
  vec4 none = composite_row(2 + COLORS);
  if (number < 0.0) {
    return none.rgb;
  }
  float place = clamp(number / none.w, 0.0, 1.0) * float(COLORS - 1);
  int first = min(int(place), COLORS - 2);
  return mix(composite_row(2 + first).rgb, composite_row(3 + first).rgb, place - float(first));
}

void main()
{
  ivec2 pixel = ivec2(gl_GlobalInvocationID.xy);
  if (any(greaterThanEqual(pixel, ivec2(composite_row(0).zw)))) {
    return;
  }
  vec4 seen = texelFetch(surface, pixel, 0);
  vec4 owned = texelFetch(owner, pixel, 0);
  vec4 reliefs = texelFetch(relief, pixel, 0);
  vec3 origin, direction;
  pixel_ray(pixel, origin, direction);
  int shown = int(composite_row(1).z);
  vec4 color;
  if (owned.x < 0.5) {
    color = composite_row(1).y > 0.5 ? vec4(0.0) : vec4(background(direction), 1.0);
  }
  else if (shown == 0) {
    vec3 position = origin + seen.w * direction;
    color = vec4(shade(position, seen.xyz, -direction, int(owned.x) - 1, reliefs.x, reliefs.y), 1.0);
  }
  else {
    float number = shown == 1 ? owned.z : (shown == 2 ? owned.w : reliefs.z);
    color = vec4(false_color(number), 1.0);
  }
  ivec2 place = pixel + ivec2(composite_row(0).xy);
  float weight = composite_row(1).x;
  // The first sample replaces whatever is there, which may be no number at all.
  imageStore(picture, place, weight < 1.0 ? mix(imageLoad(picture, place), color, weight) : color);
}
