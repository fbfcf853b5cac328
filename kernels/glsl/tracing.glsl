// SPDX-License-Identifier: GPL-3.0-or-later
// Multiscale sphere tracing by work groups: the twin of kernels/tracing.py, where each step is explained. Needs
// rays.glsl, network.glsl and placement.glsl; the rows of its pass:
//   1: x tolerance, y relaxation, z largest number of steps, w number of stages
//   8: x row of the owner plus 1, y object index, z 1 for a residual sequence;
//      for shadows w the height above the surface at which rays start
//   9: xyz for shadows the direction to the sun in network space
//   10 and on: one a stage: x, y first and last network whose sum is its level, z inflation, w push into the band
//
// A work group owns the rays of its pixels. Of those still alive, the ones that need the coarsest network are gathered
// and evaluated together, again and again until none are left: the cost follows the rays alive, and a finer level
// begins when all rays that reach it are there.
//
// A hit is handed to normals.glsl: its position in network space takes the place of the normal, and `relief`.w is
// WAITING, or WAITING_INSIDE where the object is seen from within.

#define PUSH_ROWS 10
#define SECANT_TOLERANCES 10.0
#define LARGEST_STRETCH 3.0
#define UNKNOWN 1e30
#define WAITING -1.0
#define WAITING_INSIDE -2.0

// What a ray needs next; the lowest is evaluated first. Rays that start in the bounds ask of level after level on which
// side of the surface they are. In stage s a ray asks first whether it is in the band of the stage before.
#define SIDE_OF_STAGE 0u
#define BAND_OF_STAGE 64u
#define VALUE_OF_STAGE 65u
#define DONE 1000u

SHARED vec4 starts[POINTS];  // xyz where the ray enters the bounds, w its length now, in network units
SHARED vec4 units[POINTS];   // xyz its unit direction, w the length at which it ends
SHARED vec4 marks[POINTS];   // x the length known to lie before the surface, y the distance there, UNKNOWN where it was
                             // to another stage's, z the length known to lie behind it, w 1 or -1 from inside
SHARED vec2 bands[POINTS];   // x the distance to the stage before, y its share of the band
SHARED uint needs[POINTS];
SHARED int steps[POINTS];
SHARED int queue[POINTS];
SHARED uint queued;
SHARED uint lowest;

vec4 stage_row(int stage)
{
  return pass_row(PUSH_ROWS + stage);
}

uint first_need(int stage)
{
  return stage == 0 ? VALUE_OF_STAGE : BAND_OF_STAGE + 2u * uint(stage);
}

#ifdef SHADOW

// A pixel's shadow ray in network space; false where there is nothing to cast a shadow on.
bool network_ray(ivec2 pixel, out vec3 origin, out vec3 direction, out float limit)
{
  vec4 seen = imageLoad(surface, pixel);
  camera_ray(pixel, origin, direction);
  vec3 upwards = normalize(convert_normal(seen.xyz));
  origin = position_to_network(origin + seen.w * direction) + pass_row(8).w * upwards;
  direction = pass_row(9).xyz;
  limit = UNKNOWN;
  // A plane's normal and directions keep their angle's sign in any space.
  return seen.w < NOTHING_SEEN && imageLoad(relief, pixel).y > 0.0 && dot(upwards, direction) > 0.0;
}

#else

// A pixel's ray in network space, its t counted as in world space.
bool network_ray(ivec2 pixel, out vec3 origin, out vec3 direction, out float limit)
{
  camera_ray(pixel, origin, direction);
  origin = position_to_network(origin);
  direction = direction_to_network(direction);
  limit = min(imageLoad(surface, pixel).w, ray_end(pixel));
  return true;
}

#endif

// Where a ray enters and leaves the cube, by the slab method.
vec2 cube_interval(vec3 origin, vec3 direction)
{
  float tiny = 1e-12 * length(direction);
  vec3 nonzero = mix(direction, mix(vec3(tiny), vec3(-tiny), lessThan(direction, vec3(0.0))),
                     lessThanEqual(abs(direction), vec3(tiny)));
  vec3 first = (-1.0 - origin) / nonzero, second = (1.0 - origin) / nonzero;
  vec3 entries = min(first, second), exits = max(first, second);
  return vec2(max(max(entries.x, entries.y), entries.z), min(min(exits.x, exits.y), exits.z));
}

void begin_ray(int ray)
{
  needs[ray] = DONE;
  steps[ray] = 0;
  ivec2 pixel = pixel_of(ray);
  if (!is_wanted(pixel)) {
    return;
  }
  vec3 origin, direction;
  float limit;
  if (!network_ray(pixel, origin, direction, limit)) {
    return;
  }
  vec2 interval = cube_interval(origin, direction);
  float near = max(interval.x, 0.0), far = min(interval.y, limit), speed = length(direction);
  // Comparisons with NaN are false: rays that are not finite end here, too.
  if (!(near < far && speed > 0.0 && speed < UNKNOWN)) {
    return;
  }
  starts[ray] = vec4(origin + near * direction, 0.0);
  units[ray] = vec4(direction / speed, (far - near) * speed);
  marks[ray] = vec4(0.0, UNKNOWN, UNKNOWN, 1.0);
  needs[ray] = interval.x < 0.0 ? SIDE_OF_STAGE : first_need(0);
}

// The ray ends, at `reached` with a hit, or without one.
void end_ray(int ray, bool hit, float reached, int stage)
{
  needs[ray] = DONE;
  ivec2 pixel = pixel_of(ray);
#ifdef SHADOW
  if (hit) {
    vec4 seen = imageLoad(relief, pixel);
    imageStore(relief, pixel, vec4(seen.x, 0.0, seen.zw));
  }
#else
  vec4 before = imageLoad(owner, pixel);
  float evaluations = before.w + float(steps[ray]);
  if (hit) {
    vec3 origin, direction;
    float limit;
    network_ray(pixel, origin, direction, limit);
    float t = max(cube_interval(origin, direction).x, 0.0) + reached / length(direction);
    imageStore(surface, pixel, vec4(starts[ray].xyz + reached * units[ray].xyz, t));
    imageStore(owner, pixel, vec4(pass_row(8).xy, stage_row(stage).y, evaluations));
    imageStore(relief, pixel, vec4(1.0, 1.0, stage > 0 ? min(bands[ray].y, 1.0) : -1.0,
                                   marks[ray].w > 0.0 ? WAITING : WAITING_INSIDE));
  }
  else {
    imageStore(owner, pixel, vec4(before.xyz, evaluations));
  }
#endif
}

// The distance, to the surface of `stage`, at the ray's point: a step ahead, or half way back, or the end.
void advance_ray(int ray, int stage_before, int stage, float value)
{
  float tolerance = pass_row(1).x;
  bool on_last = stage + 1 == int(pass_row(1).w);
  vec4 mark = marks[ray];
  float reached = starts[ray].w;
  steps[ray] += 1;
  float outside_value = stage == stage_before ? mark.y : UNKNOWN;

  bool before = value > tolerance;
  bool crossed = on_last && value < -tolerance;
  if (crossed) {
    mark.z = reached;
  }
  float stretch = 1.0;
  if (value < SECANT_TOLERANCES * tolerance && outside_value < UNKNOWN) {
    float slope = (outside_value - value) / max(reached - mark.x, 1e-9);
    stretch = clamp(1.0 / max(slope, 1e-3), 1.0, LARGEST_STRETCH);
  }
  float next = reached + pass_row(1).y * stretch * value + stage_row(stage).w;
  if (crossed || next >= mark.z) {
    next = 0.5 * ((crossed ? mark.x : reached) + mark.z);
  }
  if (before) {
    mark.x = reached;
  }
  bool narrow = mark.z - mark.x <= tolerance;
  // A network whose values overflow has no surface to arrive at.
  bool is_finite = abs(value) < UNKNOWN;
  if (((on_last && !before && !crossed) || narrow) && is_finite) {
    end_ray(ray, true, narrow ? 0.5 * (mark.x + mark.z) : reached + value, stage);
    return;
  }
  if (before || crossed) {
    mark.y = before ? value : outside_value;
    starts[ray].w = next;
  }
  else {
    mark.y = UNKNOWN;
    stage += 1;
  }
  marks[ray] = mark;
  needs[ray] = first_need(stage);
  if (!is_finite || !(starts[ray].w <= units[ray].w) || steps[ray] >= int(pass_row(1).z)) {
    end_ray(ray, false, 0.0, stage);
  }
}

// What was asked for is known: the ray's side, whether it is in the band, or its distance.
void answer_ray(int ray, uint need, float value)
{
  int stages = int(pass_row(1).w);
  if (need < BAND_OF_STAGE) {
    // The coarsest level whose band the point is not in decides; inside all bands the last one does.
    int stage = int(need);
    marks[ray].w = value < 0.0 ? -1.0 : 1.0;
    bool undecided = abs(value) <= stage_row(stage).z && stage + 1 < stages;
    needs[ray] = undecided ? need + 1u : first_need(0);
    return;
  }
  int stage = int(need - BAND_OF_STAGE) / 2;
  float side = marks[ray].w;
  if (need == VALUE_OF_STAGE + 2u * uint(stage)) {
    advance_ray(ray, stage, stage, side * value - stage_row(stage).z);
    return;
  }
  // Beyond its band the finer level means nothing. Twice the tolerance keeps a ray that has just arrived.
  float inflation = stage_row(stage - 1).z;
  bands[ray] = vec2(value, abs(value) / inflation);
  if (abs(value) > inflation + 2.0 * pass_row(1).x) {
    advance_ray(ray, stage, side * value > 0.0 ? stage - 1 : stage, side * value - inflation);
  }
  else {
    needs[ray] = VALUE_OF_STAGE + 2u * uint(stage);
  }
}

// The networks whose sum answers a need. A residual sequence adds to what is known of the stage before.
ivec2 networks_for(uint need)
{
  bool residual = pass_row(8).z > 0.5;
  int stage = need < BAND_OF_STAGE ? int(need) : int(need - BAND_OF_STAGE) / 2;
  bool of_band = need >= BAND_OF_STAGE && need == BAND_OF_STAGE + 2u * uint(stage);
  ivec2 range = ivec2(stage_row(of_band ? stage - 1 : stage).xy);
  if (residual && need >= BAND_OF_STAGE && !of_band && stage > 0) {
    range.x = int(stage_row(stage - 1).y) + 1;
  }
  return range;
}

void main()
{
  for (int ray = invocation(); ray < POINTS; ray += THREADS) {
    begin_ray(ray);
  }
  bool residual = pass_row(8).z > 0.5;
  // A step takes up to two rounds. Rays of different stages take theirs one after the other.
  int most_rounds = 2 * int(pass_row(1).w + 1.0) * int(pass_row(1).z);
  for (int round_number = 0; round_number < most_rounds; ++round_number) {
    if (invocation() == 0) {
      lowest = DONE;
      queued = 0u;
    }
    barrier();
    for (int ray = invocation(); ray < POINTS; ray += THREADS) {
      if (needs[ray] < DONE) {
        atomicMin(lowest, needs[ray]);
      }
    }
    barrier();
    uint need = lowest;
    if (need >= DONE) {
      break;
    }
    for (int ray = invocation(); ray < POINTS; ray += THREADS) {
      if (needs[ray] == need) {
        int place = int(atomicAdd(queued, 1u));
        queue[place] = ray;
        bool adds = residual && need > VALUE_OF_STAGE && (need - BAND_OF_STAGE) % 2u == 1u;
        points[place] = vec4(starts[ray].xyz + starts[ray].w * units[ray].xyz, adds ? bands[ray].x : 0.0);
      }
    }
    barrier();
    int count = int(queued);
    ivec2 range = networks_for(need);
    add_values(range.x, range.y, count);
    for (int place = invocation(); place < count; place += THREADS) {
      answer_ray(queue[place], need, points[place].w);
    }
    barrier();
  }
  for (int ray = invocation(); ray < POINTS; ray += THREADS) {
    if (needs[ray] < DONE) {
      end_ray(ray, false, 0.0, 0);
    }
  }
}
