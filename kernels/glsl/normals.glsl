// SPDX-License-Identifier: GPL-3.0-or-later
// Normals, and openness by the coarsest level, of the hits that tracing.glsl has left waiting: the twin of
// kernels/surface_points.py. Needs rays.glsl, network.glsl with the gradient, and placement.glsl; the rows of its pass:
//   1: x, y first and last network whose sum is the level of the normals, z 1 for openness
//   8: xyz the heights at which openness looks for other parts of the object
//   9: for places in the band x, y first and last network whose sum is the level before the last traced one, z half
//      the width of its band; 0 for none

SHARED int queue[POINTS];
SHARED vec4 positions[POINTS];  // xyz in network space, w 1 or -1 where seen from inside
SHARED vec4 normals[POINTS];    // xyz in network space, towards the viewer, w openness
SHARED float grounds[POINTS];   // distance on the coarsest level
SHARED uint queued;

void main()
{
  if (invocation() == 0) {
    queued = 0u;
  }
  barrier();
  for (int index = invocation(); index < POINTS; index += THREADS) {
    ivec2 pixel = pixel_of(index);
    if (is_wanted(pixel) && imageLoad(relief, pixel).w < -0.5) {
      int place = int(atomicAdd(queued, 1u));
      queue[place] = index;
      float side = imageLoad(relief, pixel).w < -1.5 ? -1.0 : 1.0;
      positions[place] = vec4(imageLoad(surface, pixel).xyz, side);
      points[place] = vec4(positions[place].xyz, 0.0);
    }
  }
  barrier();
  int count = int(queued);
  if (count == 0) {
    return;
  }
  set_gradients(int(pass_row(1).x), int(pass_row(1).y), count);
  for (int i = invocation(); i < count; i += THREADS) {
    vec3 gradient = gradients[i].xyz;
    normals[i] = vec4(positions[i].w * gradient / max(length(gradient), 1e-20), 0.0);
  }
  // Distances on the surface and above it at each height, on the coarsest level, and on the surface for the place in
  // the band: in one loop, so that the large code is there only once. Beyond the cube there is nothing.
  bool wants_openness = pass_row(1).z > 0.5, wants_places = pass_row(9).z > 0.0;
  for (int look = wants_openness ? 0 : HEIGHTS + 1; look < (wants_places ? HEIGHTS + 2 : HEIGHTS + 1); ++look) {
    bool for_place = look == HEIGHTS + 1;
    float height = look == 0 || for_place ? 0.0 : pass_row(8)[look - 1];
    for (int i = invocation(); i < count; i += THREADS) {
      points[i] = vec4(clamp(positions[i].xyz + height * normals[i].xyz, vec3(-1.0), vec3(1.0)), 0.0);
    }
    add_values(for_place ? int(pass_row(9).x) : 0, for_place ? int(pass_row(9).y) : 0, count);
    for (int i = invocation(); i < count; i += THREADS) {
      if (look == 0) {
        grounds[i] = points[i].w;
      }
      else if (!for_place) {
        vec3 above = positions[i].xyz + height * normals[i].xyz;
        bool outside = any(greaterThan(abs(above), vec3(1.0)));
        float share = clamp(abs(points[i].w - grounds[i]) / height, 0.0, 1.0);
        normals[i].w += (outside ? 1.0 : share) / float(HEIGHTS);
      }
    }
    barrier();
  }
  for (int i = invocation(); i < count; i += THREADS) {
    float place = wants_places ? min(abs(points[i].w) / pass_row(9).z, 1.0) : -1.0;
    ivec2 pixel = pixel_of(queue[i]);
    vec3 origin, direction;
    pixel_ray(pixel, origin, direction);
    vec3 normal = facing_viewer(convert_normal(normals[i].xyz), -direction);
    imageStore(surface, pixel, vec4(normal, imageLoad(surface, pixel).w));
    imageStore(relief, pixel, vec4(wants_openness ? normals[i].w : 1.0, 1.0, place, 0.0));
  }
}
