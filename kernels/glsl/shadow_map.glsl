// SPDX-License-Identifier: GPL-3.0-or-later
// The sun's shadows of meshes on whatever is in the surface buffers: the twin of kernels/shadow_maps.py.
// After rays.glsl. Parameters after those of the rays:
//   0, 1, 2: rows that take points of camera space to texels x and y of the map, and to view depth of the sun, moved a
//     little towards the sun. World space would lose the digits of a scene that is far from its origin
//   3, 4, 5: rows that take world normals to how far points are moved along them, counted likewise

// 1 where the sun is seen past the texel.
float seen_past(ivec2 texel, float depth)
{
  if (any(lessThan(texel, ivec2(0))) || any(greaterThanEqual(texel, textureSize(sun_depths, 0)))) {
    return 1.0;
  }
  vec4 found = texelFetch(sun_depths, texel, 0);
  return (found.y < 0.5 || found.x >= depth) ? 1.0 : 0.0;
}

// A coordinate, by the number of its row, of a point of camera space that is moved along its world normal.
float on_map(int row, vec4 point, vec3 normal)
{
  return dot(parameters.values[RAY_PARAMETERS + row], point) +
         dot(parameters.values[RAY_PARAMETERS + 3 + row].xyz, normal);
}

void main()
{
  ivec2 pixel = ivec2(gl_GlobalInvocationID.xy);
  if (any(greaterThanEqual(pixel, textureSize(surface, 0))) || texelFetch(owner, pixel, 0).x < 0.5) {
    return;
  }
  vec4 seen = texelFetch(surface, pixel, 0);
  vec3 origin, direction;
  camera_ray(pixel, origin, direction);
  vec4 point = vec4(origin + seen.w * direction, 1.0);
  vec2 place = vec2(on_map(0, point, seen.xyz), on_map(1, point, seen.xyz));
  float depth = on_map(2, point, seen.xyz);
  ivec2 corner = ivec2(floor(place - 0.5));
  vec2 share = place - 0.5 - vec2(corner);
  float lower = mix(seen_past(corner, depth), seen_past(corner + ivec2(1, 0), depth), share.x);
  float upper = mix(seen_past(corner + ivec2(0, 1), depth), seen_past(corner + ivec2(1, 1), depth), share.x);
  vec4 reliefs = imageLoad(relief, pixel);
  imageStore(relief, pixel, vec4(reliefs.x, reliefs.y * mix(lower, upper, share.y), reliefs.zw));
}
