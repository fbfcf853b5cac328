// SPDX-License-Identifier: GPL-3.0-or-later
// How a neural object lies in a picture, for the passes that evaluate it. Needs rays.glsl. The rows of the parameters
// after those of the rays, as `kernels/gpu/tracing.py` packs them (it also makes the constants in capitals):
//   0: the pixels to work on: xy the lower left one, zw the first to the right and above
//   1: numbers of the pass
//   2-4: camera space to network space
//   5-7: normals to the other space: network to world, or for shadows world to network
//   8: numbers of the pass

vec4 pass_row(int row)
{
  return parameters.values[RAY_PARAMETERS + row];
}

vec3 direction_to_network(vec3 direction)
{
  return vec3(dot(pass_row(2).xyz, direction), dot(pass_row(3).xyz, direction), dot(pass_row(4).xyz, direction));
}

vec3 position_to_network(vec3 position)
{
  return direction_to_network(position) + vec3(pass_row(2).w, pass_row(3).w, pass_row(4).w);
}

// A normal in the other space; its length is not kept.
vec3 convert_normal(vec3 normal)
{
  return vec3(dot(pass_row(5).xyz, normal), dot(pass_row(6).xyz, normal), dot(pass_row(7).xyz, normal));
}

// Pixel number `index` of this work group.
ivec2 pixel_of(int index)
{
  ivec2 corner = ivec2(pass_row(0).xy) + ivec2(gl_WorkGroupID.xy) * ivec2(GROUP_WIDTH, GROUP_HEIGHT);
  return corner + ivec2(index % GROUP_WIDTH, index / GROUP_WIDTH);
}

bool is_wanted(ivec2 pixel)
{
  return all(lessThan(pixel, ivec2(pass_row(0).zw)));
}
