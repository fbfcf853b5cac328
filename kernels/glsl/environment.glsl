// SPDX-License-Identifier: GPL-3.0-or-later
// Lookups in a prepared panorama: the twin of kernels/environments.py. Textures:
//   shading_background: the panorama itself
//   shading_atlas: from the bottom row up its blurs for the roughness of SPECULAR_ROUGHNESS, then the irradiance

#define ENVIRONMENT_PI 3.14159265358979

// The angle of (x, y), from -pi to pi. Drivers' own functions are too coarse for the pixels of a large panorama; the
// polynomial is that of the Cephes library, good to seven digits.
float precise_angle(float y, float x)
{
  float longer = max(abs(x), abs(y));
  float slope = min(abs(x), abs(y)) / max(longer, 1e-30);
  float turn = 0.0;
  if (slope > 0.414213562) {
    slope = (slope - 1.0) / (slope + 1.0);
    turn = 0.25 * ENVIRONMENT_PI;
  }
  float square = slope * slope;
  float terms = ((8.05374449538e-2 * square - 1.38776856032e-1) * square + 1.99777106478e-1) * square - 3.33329491539e-1;
  float angle = turn + terms * square * slope + slope;
  if (abs(y) > abs(x)) {
    angle = 0.5 * ENVIRONMENT_PI - angle;
  }
  if (x < 0.0) {
    angle = ENVIRONMENT_PI - angle;
  }
  return (y < 0.0) ? -angle : angle;
}

// Where a unit direction is found in a panorama, 0 to 1.
vec2 equirectangular(vec3 direction)
{
  float across = length(direction.xy);
  return vec2(0.5 - precise_angle(direction.y, direction.x) / (2.0 * ENVIRONMENT_PI),
              0.5 + precise_angle(direction.z, across) / ENVIRONMENT_PI);
}

// Bilinear lookup in the panorama itself.
vec3 sample_background(vec2 coordinates)
{
  ivec2 size = textureSize(shading_background, 0);
  vec2 place = coordinates * vec2(size) - 0.5;
  vec2 corner = floor(place);
  vec2 share = place - corner;
  // Around it wraps, at the poles it ends.
  int left = (int(corner.x) + size.x) % size.x;
  int right = (left + 1) % size.x;
  int low = clamp(int(corner.y), 0, size.y - 1);
  int high = clamp(int(corner.y) + 1, 0, size.y - 1);
  vec3 lower = mix(texelFetch(shading_background, ivec2(left, low), 0).rgb,
                   texelFetch(shading_background, ivec2(right, low), 0).rgb, share.x);
  vec3 upper = mix(texelFetch(shading_background, ivec2(left, high), 0).rgb,
                   texelFetch(shading_background, ivec2(right, high), 0).rgb, share.x);
  return mix(lower, upper, share.y);
}

// Bilinear lookup in the atlas' panorama of `rows` rows that starts at row `start`.
vec3 sample_atlas(int start, int rows, vec2 coordinates)
{
  ivec2 size = ivec2(2 * rows, rows);
  vec2 place = coordinates * vec2(size) - 0.5;
  vec2 corner = floor(place);
  vec2 share = place - corner;
  int left = (int(corner.x) + size.x) % size.x;
  int right = (left + 1) % size.x;
  int low = start + clamp(int(corner.y), 0, size.y - 1);
  int high = start + clamp(int(corner.y) + 1, 0, size.y - 1);
  vec3 lower = mix(texelFetch(shading_atlas, ivec2(left, low), 0).rgb,
                   texelFetch(shading_atlas, ivec2(right, low), 0).rgb, share.x);
  vec3 upper = mix(texelFetch(shading_atlas, ivec2(left, high), 0).rgb,
                   texelFetch(shading_atlas, ivec2(right, high), 0).rgb, share.x);
  return mix(lower, upper, share.y);
}

// The blur of number `level` in the atlas; 0 is the panorama itself.
vec3 sample_blurred(int level, vec2 coordinates)
{
  if (level == 0) {
    return sample_background(coordinates);
  }
  if (level == 1) {
    return sample_atlas(0, 256, coordinates);
  }
  if (level == 2) {
    return sample_atlas(256, 128, coordinates);
  }
  if (level == 3) {
    return sample_atlas(384, 64, coordinates);
  }
  if (level == 4) {
    return sample_atlas(448, 64, coordinates);
  }
  return (level == 5) ? sample_atlas(512, 32, coordinates) : sample_atlas(544, 32, coordinates);
}

// Irradiance divided by pi on a surface whose unit normal is `direction` in the panorama.
vec3 sample_irradiance(vec3 direction)
{
  return sample_atlas(576, 32, equirectangular(direction));
}

// The place of a roughness among the blurs, 0 for the panorama itself.
float blur_level(float roughness)
{
  if (roughness < 0.1) {
    return roughness / 0.1;
  }
  if (roughness < 0.2) {
    return 1.0 + (roughness - 0.1) / 0.1;
  }
  if (roughness < 0.35) {
    return 2.0 + (roughness - 0.2) / 0.15;
  }
  if (roughness < 0.5) {
    return 3.0 + (roughness - 0.35) / 0.15;
  }
  return (roughness < 0.75) ? 4.0 + (roughness - 0.5) / 0.25 : min(5.0 + (roughness - 0.75) / 0.25, 6.0);
}

// Radiance around a unit direction in the panorama, blurred by roughness.
vec3 sample_reflected(vec3 direction, float roughness)
{
  vec2 coordinates = equirectangular(direction);
  float place = blur_level(roughness);
  int level = min(int(place), 5);
  return mix(sample_blurred(level, coordinates), sample_blurred(level + 1, coordinates), place - float(level));
}
