// SPDX-License-Identifier: GPL-3.0-or-later
// Neural normals on the pixels of a mesh: the twin of kernels/normal_mapping.py. Needs rays.glsl, network.glsl with the
// gradient, and placement.glsl; the rows of its pass:
//   1: x number of bands, y 1 for a residual sequence, z share of the band over which the normals turn, w number of
//      the mesh in the scene plus 1
//   11 and on: one a band: z its half width

SHARED int queue[POINTS];
SHARED vec4 positions[POINTS];  // xyz in network space, w place in the bands, 0 in the middle and 1 at the border
SHARED float values[POINTS];    // distance on the levels so far, of a residual sequence
SHARED uint queued;

// As `normal_mapping.band_weights`.
float band_weight(float place)
{
  float transition = pass_row(1).z;
  if (place > 1.0) {
    return 0.0;
  }
  if (transition <= 0.0) {
    return 1.0;
  }
  float share = clamp((1.0 - place) / transition, 0.0, 1.0);
  return share * share * (3.0 - 2.0 * share);
}

void main()
{
  if (invocation() == 0) {
    queued = 0u;
  }
  barrier();
  for (int index = invocation(); index < POINTS; index += THREADS) {
    ivec2 pixel = pixel_of(index);
    if (is_wanted(pixel) && abs(imageLoad(relief, pixel).w - pass_row(1).w) < 0.5) {
      vec3 origin, direction;
      camera_ray(pixel, origin, direction);
      vec3 position = position_to_network(origin + imageLoad(surface, pixel).w * direction);
      if (all(lessThanEqual(abs(position), vec3(1.0)))) {
        int place = int(atomicAdd(queued, 1u));
        queue[place] = index;
        positions[place] = vec4(position, 0.0);
        points[place] = vec4(position, 0.0);
        values[place] = 0.0;
      }
    }
  }
  barrier();
  int count = int(queued);
  bool residual = pass_row(1).y > 0.5;
  int bands = int(pass_row(1).x);
  // Only what is left in all bands so far asks the next level.
  for (int band = 0; band < bands; ++band) {
    if (count == 0) {
      break;
    }
    add_values(band, band, count);
    if (invocation() == 0) {
      queued = 0u;
    }
    vec4 left[POINTS / THREADS];
    int indices[POINTS / THREADS];
    float sums[POINTS / THREADS];
    for (int k = 0; k < POINTS / THREADS; ++k) {
      int i = invocation() + k * THREADS;
      indices[k] = -1;
      if (i < count) {
        sums[k] = points[i].w + (residual ? values[i] : 0.0);
        left[k] = vec4(positions[i].xyz, max(positions[i].w, abs(sums[k]) / pass_row(PASS_ROWS + band).z));
        indices[k] = left[k].w <= 1.0 ? queue[i] : -1;
      }
    }
    barrier();
    for (int k = 0; k < POINTS / THREADS; ++k) {
      if (indices[k] >= 0) {
        int place = int(atomicAdd(queued, 1u));
        queue[place] = indices[k];
        positions[place] = left[k];
        points[place] = vec4(left[k].xyz, 0.0);
        values[place] = sums[k];
      }
    }
    barrier();
    count = int(queued);
  }
  if (count == 0) {
    return;
  }
  set_gradients(residual ? 0 : bands, bands, count);
  for (int i = invocation(); i < count; i += THREADS) {
    ivec2 pixel = pixel_of(queue[i]);
    vec3 neural = convert_normal(gradients[i].xyz);
    float size = length(neural), weight = band_weight(positions[i].w);
    vec4 seen = imageLoad(surface, pixel);
    if (size > 0.0 && weight > 0.0) {
      // The surface is seen from behind, or is thinner than the way to the neural surface.
      neural *= (dot(neural, seen.xyz) < 0.0 ? -1.0 : 1.0) / size;
      vec3 mixed = mix(seen.xyz, neural, weight);
      if (length(mixed) > 1e-6) {
        vec3 origin, direction;
        pixel_ray(pixel, origin, direction);
        imageStore(surface, pixel, vec4(facing_viewer(normalize(mixed), -direction), seen.w));
      }
    }
  }
}
