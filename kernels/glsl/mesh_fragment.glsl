// SPDX-License-Identifier: GPL-3.0-or-later
// What a mesh writes into the surface buffers (kernels/gpu/surfaces.py): see kernels/gpu/meshes.py for the parameters
// after those of the rays. Needs rays.glsl.

void main()
{
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  float t = corner_depth / ray_cosine(pixel);
  if (t < 0.0 || t > ray_end(pixel)) {
    discard;
  }
  vec3 origin, direction;
  pixel_ray(pixel, origin, direction);
  vec4 rows = parameters.values[RAY_PARAMETERS + 8];
  vec4 marks = parameters.values[RAY_PARAMETERS + 9];
  // A mirrored scale turns triangles around.
  bool from_behind = gl_FrontFacing != (rows.w > 0.0);
  float row = rows.x + min(floor(corner_slot + 0.5), rows.y - 1.0);
  surface = vec4(facing_viewer(from_behind ? -corner_normal : corner_normal, -direction), t);
  owner = vec4(row + 1.0, rows.z, -1.0, 0.0);
  relief = vec4(1.0, 1.0, -1.0, marks.x);
}
