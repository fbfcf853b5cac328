// SPDX-License-Identifier: GPL-3.0-or-later
// What surfaces send to the viewer: the twin of kernels/shading.py, reflectance.py and studio.py. After environment.glsl.
// Textures, all made by kernels/gpu/shading.py:
//   shading_table: numbers in rows of TABLE_COLUMNS, found by their index:
//     0: rgb the world's colour; w 0 lights and world, 1 studio lighting, 2 material capture
//     1: x number of lights; y the brightest sun's number or -1; z 1 with a panorama; w 1 where studio is glossy
//     2, 3, 4: rows of the map from world directions to the panorama
//     5, 6, 7: rows of the map from world directions to the camera
//     8: rgb ambient light of the studio; w number of materials
//     9: xy size of the capture's diffuse picture; zw of its specular picture, 0 for none
//     REFLECTANCE_START: REFLECTANCE_SIDE^2 numbers of kernels/reflectance.py
//     LIGHTS_START: LIGHT_ENTRIES a light:
//       xyz direction of a sun or position; w 0 sun, 1 point, 2 area, 3 spot
//       rgb irradiance, or power divided by 4 pi; w the cosine at a spot's border
//       xyz axis; w the inverse of the range of cosines in which a spot fades
//       x the radius, or of a sun the tangent of half its angle
//     or, as many a light of the studio:
//       xyz direction, w smoothness; rgb diffuse colour; rgb specular colour; nothing
//     then two a material: rgb base colour, w roughness; x metallic
//   shading_matcap: the capture's diffuse picture, its specular picture above it
//   and those of environment.glsl

// The constants that are not here come from kernels/gpu/shading.py.
#define LIGHTS_START (REFLECTANCE_START + REFLECTANCE_SIDE * REFLECTANCE_SIDE)
#define LIGHT_ENTRIES 4
#define SHADING_PI 3.14159265358979

vec4 table_entry(int index)
{
  return texelFetch(shading_table, ivec2(index % TABLE_COLUMNS, index / TABLE_COLUMNS), 0);
}

// A world direction turned by the three rows of the table from `index` on.
vec3 table_rotated(int index, vec3 direction)
{
  return vec3(dot(table_entry(index).xyz, direction),
              dot(table_entry(index + 1).xyz, direction),
              dot(table_entry(index + 2).xyz, direction));
}

// Shares that microfacets reflect, see `reflectance.table`: A, B, and the mean of A + B.
vec3 reflectance_lookup(float n_v, float roughness)
{
  vec2 place = vec2(n_v, roughness) * float(REFLECTANCE_SIDE - 1);
  vec2 corner = clamp(floor(place), vec2(0.0), vec2(float(REFLECTANCE_SIDE - 2)));
  vec2 share = place - corner;
  int index = REFLECTANCE_START + int(corner.y) * REFLECTANCE_SIDE + int(corner.x);
  vec3 lower = mix(table_entry(index).xyz, table_entry(index + 1).xyz, share.x);
  index += REFLECTANCE_SIDE;
  vec3 upper = mix(table_entry(index).xyz, table_entry(index + 1).xyz, share.x);
  return mix(lower, upper, share.y);
}

// Factor that brings back what bounces between microfacets.
vec3 multiple_scattering(vec3 f0, vec3 looked_up)
{
  float once = looked_up.x + looked_up.y;
  vec3 mean_fresnel = f0 + (1.0 - f0) / 21.0;
  vec3 bounced = mean_fresnel * looked_up.z / (1.0 - mean_fresnel * (1.0 - looked_up.z));
  return 1.0 + bounced * ((1.0 - once) / once);
}

// GGX microfacets but for the Fresnel term; alpha2 is the fourth power of the roughness.
float ggx(vec3 normal, vec3 halfway, float n_l, float n_v, float alpha2)
{
  float n_h = clamp(dot(normal, halfway), 0.0, 1.0);
  // The part of the half vector across the normal: 1 - n_h^2 would lose all digits in a narrow highlight.
  vec3 across = halfway - n_h * normal;
  float width = dot(across, across) + n_h * n_h * alpha2;
  float masking = n_l * sqrt(n_v * n_v * (1.0 - alpha2) + alpha2) + n_v * sqrt(n_l * n_l * (1.0 - alpha2) + alpha2);
  return alpha2 / (SHADING_PI * width * width) * 0.5 / max(masking, 1e-6);
}

// What the light of number `light` sends to a position: the unit direction towards it, the tangent of half the angle
// under which it is seen, and irradiance on a surface facing it.
vec3 incoming(int light, vec3 position, out vec3 direction, out float slope)
{
  vec4 place = table_entry(LIGHTS_START + LIGHT_ENTRIES * light);
  vec4 strength = table_entry(LIGHTS_START + LIGHT_ENTRIES * light + 1);
  float radius = table_entry(LIGHTS_START + LIGHT_ENTRIES * light + 3).x;
  if (place.w < 0.5) {
    slope = radius;
    direction = place.xyz;
    return strength.rgb;
  }
  vec4 axis = table_entry(LIGHTS_START + LIGHT_ENTRIES * light + 2);
  vec3 toward = place.xyz - position;
  float far = max(length(toward), 1e-9);
  direction = toward / far;
  slope = radius / far;
  float share = 1.0 / (far * far);
  float cosine = -dot(direction, axis.xyz);
  if (place.w > 2.5) {
    float inner = clamp((cosine - strength.w) * axis.w, 0.0, 1.0);
    share *= inner * inner * (3.0 - 2.0 * inner);
  }
  else if (place.w > 1.5) {
    share = 4.0 * max(cosine, 0.0) / (far * far + radius * radius);
  }
  return share * strength.rgb;
}

// What a surface reflects of the world: `dull` of its irradiance, `glossy` of the mirrored directions.
vec3 world_light(vec3 normal, vec3 view, float n_v, float roughness, vec3 dull, vec3 glossy)
{
  vec3 color = table_entry(0).rgb;
  if (table_entry(1).z < 0.5) {
    return color * (dull + glossy);
  }
  vec3 mirrored = 2.0 * n_v * normal - view;
  // The rougher, the more is reflected from the zenith and the less from the mirror direction (fitted to Cycles).
  float alpha = roughness * roughness;
  vec3 direction = normalize(mix(mirrored, normal, alpha * alpha));
  return color * (dull * sample_irradiance(table_rotated(2, normal)) +
                  glossy * sample_reflected(table_rotated(2, direction), roughness));
}

vec3 shade_by_scene(vec3 position, vec3 normal, vec3 view, vec3 base_color, float roughness, float metallic,
                    float openness, float sun_visibility)
{
  roughness = clamp(roughness, SMALLEST_ROUGHNESS, 1.0);
  float n_v = clamp(dot(normal, view), 1e-3, 1.0);
  vec3 looked_up = reflectance_lookup(n_v, roughness);
  // A dielectric and a metal, mixed: of each the reflectance at normal incidence, then with all bounces.
  vec3 coat_f0 = vec3(DIELECTRIC_F0);
  vec3 coat_boost = (1.0 - metallic) * multiple_scattering(coat_f0, looked_up);
  vec3 metal_boost = metallic * multiple_scattering(base_color, looked_up);
  vec3 coat = coat_boost * (coat_f0 * looked_up.x + looked_up.y);
  vec3 glossy = coat + metal_boost * (base_color * looked_up.x + looked_up.y);
  // What the coat reflects does not reach the base below it, and a metal has no base.
  vec3 dull = (1.0 - metallic - coat) * base_color;
  vec3 color = openness * world_light(normal, view, n_v, roughness, dull, glossy);
  float alpha2 = roughness * roughness * roughness * roughness;
  int lights = int(table_entry(1).x);
  int shadowed = int(table_entry(1).y);
  for (int light = 0; light < lights; light++) {
    vec3 direction;
    float slope;
    vec3 irradiance = incoming(light, position, direction, slope);
    float n_l = max(dot(normal, direction), 0.0);
    if (n_l > 0.0) {
      vec3 halfway = normalize(direction + view);
      float v_h = clamp(dot(view, halfway), 0.0, 1.0);
      float edge = pow(1.0 - v_h, 5.0);
      vec3 fresnel = coat_boost * mix(coat_f0, vec3(1.0), edge) + metal_boost * mix(base_color, vec3(1.0), edge);
      float widened = clamp(alpha2 + LIGHT_WIDTH * slope * slope, 0.0, 1.0);
      vec3 specular = ggx(normal, halfway, n_l, n_v, widened) * fresnel;
      float seen = (light == shadowed) ? sun_visibility : 1.0;
      color += (dull / SHADING_PI + specular) * irradiance * (n_l * seen);
    }
  }
  return color;
}

// Light from a light that reaches around, with Workbench's reciprocal of (1 + smoothness)^2: see studio.rough_reciprocal.
float wrapped(float cosine, float smoothness)
{
  float reach = (1.0 + smoothness) * (1.0 + smoothness);
  return clamp((cosine + smoothness) * intBitsToFloat(RECIPROCAL_BITS - floatBitsToInt(reach)), 0.0, 1.0);
}

vec3 shade_by_studio(vec3 normal, vec3 view, vec3 base_color, float roughness, float metallic)
{
  // Solid mode's roughness is meant to look even on its slider, not to measure microfacets.
  float dullness = sqrt(roughness);
  vec3 ambient = table_entry(8).rgb;
  vec3 diffuse = ambient;
  vec3 specular = ambient;
  float n_v = dot(normal, view);
  vec3 mirrored = 2.0 * n_v * normal - view;
  int lights = int(table_entry(1).x);
  for (int light = 0; light < lights; light++) {
    vec4 place = table_entry(LIGHTS_START + LIGHT_ENTRIES * light);
    vec3 direction = place.xyz;
    float smoothness = place.w;
    float n_l = dot(normal, direction);
    diffuse += wrapped(n_l, smoothness) * table_entry(LIGHTS_START + LIGHT_ENTRIES * light + 1).rgb;
    float n_h = clamp(dot(normal, normalize(view + direction)), 0.0, 1.0);
    // Blinn's highlight, normalised; a smooth light is a large one, whose highlight is wider and less glossy.
    float shininess = exp2(10.0 * (1.0 - dullness) * (1.0 - smoothness) + 1.0);
    float highlight = (n_h > 0.0) ? pow(n_h, shininess) * max(n_l, 0.0) * (0.125 * shininess + 1.0) : 0.0;
    float around = wrapped(dot(mirrored, direction), mix(smoothness, 1.0, dullness));
    specular += mix(highlight, around, smoothness * smoothness) * table_entry(LIGHTS_START + LIGHT_ENTRIES * light + 2).rgb;
  }
  if (table_entry(1).w < 0.5) {
    return diffuse * base_color;
  }
  vec3 f0 = mix(vec3(STUDIO_F0), base_color, metallic);
  vec3 reflected = mix(f0, vec3(1.0), exp2(-8.35 * clamp(n_v, 0.0, 1.0)) * (1.0 - dullness));
  // The base gets what a grey coat would let through: coloured losses look strange.
  float through = 1.0 - (reflected.r + reflected.g + reflected.b) / 3.0;
  return diffuse * base_color * (1.0 - metallic) * through + specular * reflected;
}

// Bilinear lookup in the part of shading_matcap that starts at row `start`; it ends at its edges.
vec3 sample_matcap(int start, ivec2 size, vec2 coordinates)
{
  vec2 place = clamp(coordinates * vec2(size) - 0.5, vec2(0.0), vec2(size - 1));
  ivec2 corner = ivec2(floor(place));
  vec2 share = place - vec2(corner);
  ivec2 next = min(corner + 1, size - 1);
  vec3 lower = mix(texelFetch(shading_matcap, ivec2(corner.x, start + corner.y), 0).rgb,
                   texelFetch(shading_matcap, ivec2(next.x, start + corner.y), 0).rgb, share.x);
  vec3 upper = mix(texelFetch(shading_matcap, ivec2(corner.x, start + next.y), 0).rgb,
                   texelFetch(shading_matcap, ivec2(next.x, start + next.y), 0).rgb, share.x);
  return mix(lower, upper, share.y);
}

vec3 shade_by_matcap(vec3 normal, vec3 view, vec3 base_color)
{
  vec3 n = table_rotated(5, normal);
  vec3 v = table_rotated(5, view);
  // A frame whose third axis is the view, upright where it can be (Frisvad's construction).
  float scale = 1.0 / max(1.0 + v.z, 1e-6);
  float mixed = -v.x * v.y * scale;
  vec3 right = vec3(1.0 - v.x * v.x * scale, mixed, -v.x);
  vec3 up = vec3(mixed, 1.0 - v.y * v.y * scale, -v.y);
  vec2 coordinates = 0.5 + MATCAP_RADIUS * vec2(dot(right, n), dot(up, n));
  ivec4 sizes = ivec4(table_entry(9));
  vec3 color = sample_matcap(0, sizes.xy, coordinates) * base_color;
  if (sizes.z > 0) {
    color += sample_matcap(sizes.y, sizes.zw, coordinates);
  }
  return color;
}

// Light leaving a surface towards the viewer, in scene-linear colour.
//   normal, view: unit, in world space; the normal faces the viewer, and view points to the viewer
//   owner_row: row of the material, from 0
//   openness, sun_visibility: shares of the world and of the brightest sun that the point sees, 0 to 1
vec3 shade(vec3 position, vec3 normal, vec3 view, int owner_row, float openness, float sun_visibility)
{
  float mode = table_entry(0).w;
  int row = clamp(owner_row, 0, int(table_entry(8).w) - 1);
  int index = LIGHTS_START + LIGHT_ENTRIES * int(table_entry(1).x) + 2 * row;
  vec4 surface_color = table_entry(index);
  float metallic = table_entry(index + 1).x;
  if (mode > 1.5) {
    return openness * shade_by_matcap(normal, view, surface_color.rgb);
  }
  if (mode > 0.5) {
    return openness * shade_by_studio(normal, view, surface_color.rgb, surface_color.w, metallic);
  }
  return shade_by_scene(position, normal, view, surface_color.rgb, surface_color.w, metallic, openness, sun_visibility);
}

// Radiance of the world in a unit direction. Under studio lighting or a material capture only its colour is seen.
vec3 background(vec3 direction)
{
  vec3 color = table_entry(0).rgb;
  if (table_entry(0).w > 0.5 || table_entry(1).z < 0.5) {
    return color;
  }
  return color * sample_background(equirectangular(table_rotated(2, direction)));
}
