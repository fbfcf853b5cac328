// SPDX-License-Identifier: GPL-3.0-or-later
// Rays through pixels: the twin of kernels/cameras.pixel_rays. Fed by the first RAY_PARAMETERS vec4 of the parameters,
// as `kernels/gpu/sources.ray_parameters` packs them:
//   0: xy scale and zw offset from pixels of the region to the camera's image plane at view depth 1, or at any depth
//      for parallel rays
//   1: x 1 for perspective, 0 for parallel rays; y clip_start; z clip_end
//   2, 3, 4: rows of the map from camera space to world space

// The largest t: no surface.
#define NOTHING_SEEN 1e30

// The ray of a pixel in camera space, where the view goes along -z: its start on the plane of view depth clip_start
// and its unit direction.
void camera_ray(ivec2 pixel, out vec3 origin, out vec3 direction)
{
  vec2 plane = parameters.values[0].xy * vec2(pixel) + parameters.values[0].zw;
  float clip_start = parameters.values[1].y;
  if (parameters.values[1].x > 0.5) {
    vec3 toward = vec3(plane, -1.0);
    origin = toward * clip_start;
    direction = normalize(toward);
  }
  else {
    origin = vec3(plane, -clip_start);
    direction = vec3(0.0, 0.0, -1.0);
  }
}

// View depth gained for each unit of t along a pixel's ray.
float ray_cosine(ivec2 pixel)
{
  if (parameters.values[1].x < 0.5) {
    return 1.0;
  }
  vec2 plane = parameters.values[0].xy * vec2(pixel) + parameters.values[0].zw;
  return 1.0 / sqrt(1.0 + dot(plane, plane));
}

// The t at which a pixel's ray meets the plane of view depth clip_end.
float ray_end(ivec2 pixel)
{
  return min((parameters.values[1].z - parameters.values[1].y) / ray_cosine(pixel), NOTHING_SEEN);
}

// A direction of camera space in world space.
vec3 camera_to_world_direction(vec3 direction)
{
  return vec3(dot(parameters.values[2].xyz, direction),
              dot(parameters.values[3].xyz, direction),
              dot(parameters.values[4].xyz, direction));
}

// The ray of a pixel in world space: `pixel` counts from the lower left pixel of the region, `direction` has length 1.
void pixel_ray(ivec2 pixel, out vec3 origin, out vec3 direction)
{
  camera_ray(pixel, origin, direction);
  origin = camera_to_world_direction(origin) +
           vec3(parameters.values[2].w, parameters.values[3].w, parameters.values[4].w);
  direction = camera_to_world_direction(direction);
}

// A normal of any length bent just far enough to face the viewer, as `shading.facing_normals`; of length 1. Where there
// is none, because corners' normals cancel out or a network is constant, it is the view itself.
//   view: unit, towards the viewer
vec3 facing_viewer(vec3 normal, vec3 view)
{
  vec3 unit_normal = normal / max(length(normal), 1e-18);
  return normalize(unit_normal + max(1e-3 - dot(unit_normal, view), 0.0) * view);
}
