// SPDX-License-Identifier: GPL-3.0-or-later
// A mesh's corners: see kernels/gpu/meshes.py for the parameters after those of the rays.

vec4 mesh_row(int row)
{
  return parameters.values[RAY_PARAMETERS + row];
}

void main()
{
  vec4 local = vec4(position, 1.0);
  // Camera space with its origin on the plane of view depth clip_start, which is near the surfaces: positions keep
  // their precision however far away the camera is.
  corner_depth = -dot(mesh_row(4), local);
  corner_normal = vec3(dot(mesh_row(5).xyz, normal), dot(mesh_row(6).xyz, normal), dot(mesh_row(7).xyz, normal));
  corner_slot = material_slot;
  gl_Position = vec4(dot(mesh_row(0), local), dot(mesh_row(1), local), dot(mesh_row(2), local), dot(mesh_row(3), local));
}
