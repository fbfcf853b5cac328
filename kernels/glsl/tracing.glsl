// SPDX-License-Identifier: GPL-3.0-or-later
// Multiscale sphere tracing by work groups: the twin of kernels/tracing.py and kernels/trace_stages.py, where each step
// is explained. Needs rays.glsl, network.glsl and placement.glsl; the rows of its pass:
//   1: x tolerance, y relaxation, z largest number of steps, w number of stages
//   8: x row of the owner plus 1, y object index, z 1 for a residual sequence;
//      for shadows w the height above the surface at which rays start
//   9: xyz for shadows the direction to the sun in network space
//   10: x price after which no round begins, y number of the dispatch, from 1 on, z price of a round, w and of each of
//      its rays
//   11 and on: one a stage: x, y first and last network whose sum is its level, z inflation, w push into the band. Those
//      of a residual sequence are all its levels up to the last one traced
//
// A work group owns the rays of its pixels. Of those still alive, the ones that need the coarsest network are gathered
// and evaluated together, again and again until none are left: the cost follows the rays alive, and a finer level
// begins when all rays that reach it are there.
//
// A hit is handed to normals.glsl: its position in network space takes the place of the normal, and `relief`.w is
// WAITING, or WAITING_INSIDE where the object is seen from within.
//
// Software drivers end an invocation after so many iterations of loops, whatever it has still to do. There RESUMES is
// defined: rays that are not done after a dispatch wait in the image `progress`, three texels a pixel, for the
// next, and the first texel of `unfinished` has the number of the last dispatch that left any.

#define UNKNOWN 1e30
#define WAITING -1.0
#define WAITING_INSIDE -2.0

// What a ray needs next; the lowest is evaluated first. Rays that start in the bounds ask of level after level on which
// side of the surface they are. In stage s a ray that may have left the band of the stage before asks for that first.
// Of a residual sequence, where level j adds to the levels before, it asks for 0 to s one after the other: SUM_OF_LEVEL
// plus STAGES_OF_LEVEL * j + s. Rays of all stages that ask for the same level are evaluated together.
#define SIDE_OF_STAGE 0u
#define BAND_OF_STAGE 64u
#define VALUE_OF_STAGE 65u
#define SUM_OF_LEVEL 128u
#define STAGES_OF_LEVEL 16u
#define DONE 1023u

// As in kernels/tracing.py; lengths are along the ray from where it entered, in network units.
SHARED vec4 starts[POINTS];  // xyz where the ray enters the bounds, w its length now
SHARED vec4 units[POINTS];   // xyz its unit direction, w the length at which it ends
// x the largest length known to lie before the surface, y the distance there, UNKNOWN where that was to another stage's
// surface, z the smallest length known to lie behind it, UNKNOWN where there is none, w the distance there.
SHARED vec4 marks[POINTS];
// y where the ray was last found in the band, x the length up to which it is taken to stay there, z the distance that
// it loses for each length, w 1, or -1 for a ray from inside.
SHARED vec4 traits[POINTS];
SHARED uint states[POINTS];  // see `pack_state`
SHARED float coarse_values[POINTS];  // of a residual sequence, the distance on the level before the one asked for
SHARED int queue[POINTS];
SHARED uint queued;
SHARED uint lowest;

// What a ray needs; whether its last step was longer than the distance and has to be checked; its evaluations.
uint pack_state(uint need, bool relaxed, int steps)
{
  return need | (relaxed ? 1024u : 0u) | (uint(steps) << 11u);
}

uint need_of(int ray)
{
  return states[ray] & 1023u;
}

int steps_of(int ray)
{
  return int(states[ray] >> 11u);
}

vec4 stage_row(int stage)
{
  return pass_row(PASS_ROWS + stage);
}

bool is_residual()
{
  return pass_row(8).z > 0.5;
}

uint sum_need(int level, int stage)
{
  return SUM_OF_LEVEL + STAGES_OF_LEVEL * uint(level) + uint(stage);
}

// What a ray needs first at its present length.
uint first_need(int ray, int stage)
{
  if (is_residual()) {
    return sum_need(0, stage);
  }
  float here = starts[ray].w;
  bool asks = stage > 0 && (here > traits[ray].x || here < traits[ray].y);
  return (asks ? BAND_OF_STAGE : VALUE_OF_STAGE) + 2u * uint(stage);
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

// Parallel to a slab: a tiny component of either sign puts both its planes at (nearly) infinity, with the right signs.
float away_from_zero(float component, float tiny)
{
  return abs(component) > tiny ? component : (component < 0.0 ? -tiny : tiny);
}

// Where a ray enters and leaves the cube, by the slab method.
vec2 cube_interval(vec3 origin, vec3 direction)
{
  float tiny = 1e-12 * length(direction);
  vec3 nonzero = vec3(away_from_zero(direction.x, tiny),
                      away_from_zero(direction.y, tiny),
                      away_from_zero(direction.z, tiny));
  vec3 first = (vec3(-1.0) - origin) / nonzero, second = (vec3(1.0) - origin) / nonzero;
  vec3 entries = min(first, second), exits = max(first, second);
  return vec2(max(max(entries.x, entries.y), entries.z), min(min(exits.x, exits.y), exits.z));
}

#ifdef RESUMES

bool is_first_dispatch()
{
  return pass_row(10).y < 1.5;
}

ivec2 progress_texel(ivec2 pixel, int number)
{
  return ivec2(3 * pixel.x + number, pixel.y);
}

// A ray's state for the next dispatch. `begin_ray` has the rest: what it reads does not change before the ray is done.
void save_ray(int ray, ivec2 pixel)
{
  vec4 state = vec4(float(states[ray] & 2047u), float(steps_of(ray)), starts[ray].w, coarse_values[ray]);
  imageStore(progress, progress_texel(pixel, 0), state);
  imageStore(progress, progress_texel(pixel, 1), marks[ray]);
  imageStore(progress, progress_texel(pixel, 2), traits[ray]);
}

void load_ray(int ray, ivec2 pixel)
{
  vec4 state = imageLoad(progress, progress_texel(pixel, 0));
  states[ray] = uint(state.x) | (uint(state.y) << 11u);
  starts[ray].w = state.z;
  coarse_values[ray] = state.w;
  marks[ray] = imageLoad(progress, progress_texel(pixel, 1));
  traits[ray] = imageLoad(progress, progress_texel(pixel, 2));
}

#endif

void begin_ray(int ray)
{
  states[ray] = DONE;
  ivec2 pixel = pixel_of(ray);
  if (!is_wanted(pixel)) {
    return;
  }
#ifdef RESUMES
  if (!is_first_dispatch() && uint(imageLoad(progress, progress_texel(pixel, 0)).x) == DONE) {
    return;
  }
#endif
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
  marks[ray] = vec4(0.0, UNKNOWN, UNKNOWN, UNKNOWN);
  traits[ray] = vec4(0.0, 0.0, FIRST_SLOPE, 1.0);
  states[ray] = interval.x < 0.0 ? SIDE_OF_STAGE : first_need(ray, 0);
#ifdef RESUMES
  if (!is_first_dispatch()) {
    load_ray(ray, pixel);
  }
#endif
}

// The ray ends, at `reached` with a hit, or without one.
void end_ray(int ray, bool hit, float reached, int stage)
{
  int steps = steps_of(ray);
  states[ray] = DONE;
  ivec2 pixel = pixel_of(ray);
#ifdef SHADOW
  if (hit) {
    vec4 seen = imageLoad(relief, pixel);
    imageStore(relief, pixel, vec4(seen.x, 0.0, seen.zw));
  }
#else
  vec4 before = imageLoad(owner, pixel);
  float evaluations = before.w + float(steps);
  vec3 origin, direction;
  float limit;
  network_ray(pixel, origin, direction, limit);
  float t = max(cube_interval(origin, direction).x, 0.0) + reached / length(direction);
  // A ray that ends within the tolerance of its surface may find that behind what is seen already.
  if (hit && t < limit) {
    imageStore(surface, pixel, vec4(starts[ray].xyz + reached * units[ray].xyz, t));
    imageStore(owner, pixel, vec4(pass_row(8).xy, stage_row(stage).y, evaluations));
    imageStore(relief, pixel, vec4(1.0, 1.0, -1.0, traits[ray].w > 0.0 ? WAITING : WAITING_INSIDE));
  }
  else {
    imageStore(owner, pixel, vec4(before.xyz, evaluations));
  }
#endif
}

// The distance at the ray's point is known: a step ahead, or back between the two sides of the surface, or the end.
//   home: the stage that `value` belongs to: an earlier one where the ray has left its band outwards
void advance_ray(int ray, int stage, int home, float value)
{
  bool returns = home < stage;
  float tolerance = pass_row(1).x, relaxation = pass_row(1).y;
  bool is_last = stage + 1 == int(pass_row(1).w);
  float push = stage_row(stage).w;
  vec4 mark = marks[ray], trait = traits[ray];
  float here = starts[ray].w, travelled = here - mark.x;
  bool relaxed = (states[ray] & 1024u) != 0u;
  int steps = steps_of(ray) + 1;
  states[ray] = pack_state(need_of(ray), false, steps);

  // A long step whose spheres do not touch may have jumped across something, and is taken back.
  float spheres = relaxation * (mark.y + abs(value + push) + push);
  bool apart = returns || spheres + LARGEST_GAP * tolerance < travelled;
  bool failed = relaxed && apart && travelled > SHORTEST_CHECKED * tolerance;
  bool comparable = travelled > 0.0 && mark.y < UNKNOWN && !returns;
  float slope = comparable ? (mark.y - value) / max(travelled, 1e-9) : trait.z;
  bool on_last = is_last && !returns && !failed;
  // In the band of a residual sequence is who is within its border.
  float entry = is_residual() && !is_last ? 0.0 : tolerance;
  bool before = (value > entry || returns) && !failed;
  bool crossed = on_last && value < -tolerance;
  if (crossed) {
    mark.zw = vec2(here, value);
  }
  bool known = comparable && travelled <= LONGEST_ARRIVAL * tolerance;
  bool is_close = on_last && known && slope > STEEP && abs(value) <= ARRIVAL_TOLERANCES * tolerance;
  bool moves = (before || crossed) && !is_close;
  float shorter = mark.x + CAUTIOUS * (mark.y + push);
  trait.z = failed ? 1.0 : slope;
  if (before) {
    mark.xy = vec2(here, value);
  }

  float ahead = value + push;
  bool is_near = ahead < SECANT_TOLERANCES * tolerance;
  float arriving = 1.0 / max(trait.z, 1e-3);
  // How far the sphere of the next point, seen at this slope, still touches this one's.
  float touching = (2.0 + LARGEST_GAP * tolerance / max(ahead, 1e-9)) / (1.0 + clamp(trait.z, 0.0, 1.0));
  float stretch = is_near ? clamp(arriving, 1.0, LARGEST_STRETCH) : clamp(min(arriving, touching), 1.0, 2.0);
  float next = here + relaxation * stretch * ahead;
  relaxed = before && !is_near && stretch > 1.0;
  // The surface may lie just before the end of the bounds.
  if (next > units[ray].w && here + CERTAIN_SHARE * relaxation * ahead <= units[ray].w) {
    next = units[ray].w;
  }
  if ((crossed || next >= mark.z) && mark.z < UNKNOWN) {
    // Where a straight line between both sides meets zero; every other time the middle, which cannot be fooled.
    bool straight = mark.y < UNKNOWN && steps % 2 == 0;
    float share = straight ? clamp(mark.y / (mark.y - mark.w), 0.1, 0.9) : 0.5;
    next = mark.x + share * (mark.z - mark.x);
    relaxed = false;
  }

  bool is_narrow = mark.z - mark.x <= tolerance;
  // A network whose values overflow has no surface to arrive at.
  bool is_finite = abs(value) < UNKNOWN;
  if (((on_last && !moves) || is_narrow) && is_finite && !failed) {
    // The last, short step leaves the position much closer than the tolerance.
    float arrival = min(here + value / (comparable ? clamp(slope, STEEP, 1.0) : 1.0), mark.z);
    end_ray(ray, true, is_narrow ? 0.5 * (mark.x + mark.z) : arrival, stage);
    return;
  }
  bool goes_on = failed || moves;
  float reached = failed ? shorter : (moves ? next : here);
  if (!is_finite || !(reached <= units[ray].w) || steps >= int(pass_row(1).z) || (is_last && !goes_on)) {
    end_ray(ray, false, 0.0, stage);
    return;
  }
  bool is_known = false;
  if (!goes_on) {
    // The point lies in this stage's band, unless it is already behind that.
    float coarse = value + stage_row(stage).z;
    bool is_within = coarse >= -stage_row(stage).z;
    trait.xy = vec2(is_within ? reached : -1.0, reached);
    mark.y = UNKNOWN;
    // What the next level adds to is known.
    is_known = is_residual() && is_within && coarse <= stage_row(stage).z;
    coarse_values[ray] = trait.w * coarse;
    stage += 1;
  }
  else if (!failed) {
    stage = home;
  }
  starts[ray].w = reached;
  marks[ray] = mark;
  traits[ray] = trait;
  states[ray] = pack_state(is_known ? sum_need(stage, stage) : first_need(ray, stage), relaxed && !failed, steps);
}

// The sum of the levels up to one of them is known at the ray's point: the next one is added to it only in the band.
void add_level(int ray, uint need, float value)
{
  int level = int((need - SUM_OF_LEVEL) / STAGES_OF_LEVEL), stage = int((need - SUM_OF_LEVEL) % STAGES_OF_LEVEL);
  float inflation = stage_row(level).z, seen = traits[ray].w * value;
  if (level < stage && abs(seen) <= inflation) {
    coarse_values[ray] = value;
    states[ray] = pack_state(sum_need(level + 1, stage), (states[ray] & 1024u) != 0u, steps_of(ray));
    return;
  }
  advance_ray(ray, stage, level < stage && seen > 0.0 ? level : stage, seen - inflation);
}

// What was asked for is known: the ray's side, whether it is in the band, or its distance.
void answer_ray(int ray, uint need, float value)
{
  if (need < BAND_OF_STAGE) {
    // The coarsest level whose band the point is not in decides; inside all bands the last one does.
    int stage = int(need);
    traits[ray].w = value < 0.0 ? -1.0 : 1.0;
    bool undecided = abs(value) <= stage_row(stage).z && stage + 1 < int(pass_row(1).w);
    states[ray] = undecided ? need + 1u : first_need(ray, 0);
    return;
  }
  if (need >= SUM_OF_LEVEL) {
    add_level(ray, need, value);
    return;
  }
  int stage = int(need - BAND_OF_STAGE) / 2;
  float here = starts[ray].w;
  vec4 trait = traits[ray];
  float seen = trait.w * value;
  if (need == VALUE_OF_STAGE + 2u * uint(stage)) {
    if (trait.y == here) {
      // Found in the band, the finer level is believed: its surface is where it says, and a ray no farther from here
      // than twice that either arrives there or passes by closely.
      traits[ray].x = max(trait.x, here + 2.0 * abs(seen));
    }
    advance_ray(ray, stage, stage, seen - stage_row(stage).z);
    return;
  }
  // Beyond its band the finer level means nothing. Twice the tolerance keeps a ray that has just arrived.
  float inflation = stage_row(stage - 1).z, border = inflation + 2.0 * pass_row(1).x;
  if (abs(seen) > border) {
    advance_ray(ray, stage, seen > 0.0 ? stage - 1 : stage, seen - inflation);
    return;
  }
  traits[ray].xy = vec2(here + border - abs(seen), here);
  states[ray] = pack_state(VALUE_OF_STAGE + 2u * uint(stage), (states[ray] & 1024u) != 0u, steps_of(ray));
}

// Whether a need is answered by the same networks as another.
bool is_answered_with(uint need, uint other)
{
  return need == other || (need >= SUM_OF_LEVEL && need < DONE && need / STAGES_OF_LEVEL == other / STAGES_OF_LEVEL);
}

// The networks whose sum answers a need. Of a residual sequence one adds to what is known of the levels before.
ivec2 networks_for(uint need)
{
  if (need >= SUM_OF_LEVEL) {
    return ivec2(int(need - SUM_OF_LEVEL) / int(STAGES_OF_LEVEL));
  }
  int stage = need < BAND_OF_STAGE ? int(need) : int(need - BAND_OF_STAGE) / 2;
  bool of_band = need >= BAND_OF_STAGE && need == BAND_OF_STAGE + 2u * uint(stage);
  return ivec2(stage_row(of_band ? stage - 1 : stage).xy);
}

void main()
{
  for (int ray = invocation(); ray < POINTS; ray += THREADS) {
    begin_ray(ray);
  }
  float price = 0.0;
  while (price < pass_row(10).x) {
    if (invocation() == 0) {
      lowest = DONE;
      queued = 0u;
    }
    barrier();
    for (int ray = invocation(); ray < POINTS; ray += THREADS) {
      if (need_of(ray) < DONE) {
        atomicMin(lowest, need_of(ray));
      }
    }
    barrier();
    uint need = lowest;
    if (need >= DONE) {
      break;
    }
    for (int ray = invocation(); ray < POINTS; ray += THREADS) {
      if (is_answered_with(need_of(ray), need)) {
        int place = int(atomicAdd(queued, 1u));
        queue[place] = ray;
        bool adds = need >= SUM_OF_LEVEL + STAGES_OF_LEVEL;
        points[place] = vec4(starts[ray].xyz + starts[ray].w * units[ray].xyz, adds ? coarse_values[ray] : 0.0);
      }
    }
    barrier();
    int count = int(queued);
    ivec2 range = networks_for(need);
    add_values(range.x, range.y, count);
    for (int place = invocation(); place < count; place += THREADS) {
      answer_ray(queue[place], need_of(queue[place]), points[place].w);
    }
    barrier();
    price += pass_row(10).z + pass_row(10).w * float(count);
  }
#ifdef RESUMES
  for (int ray = invocation(); ray < POINTS; ray += THREADS) {
    if (is_wanted(pixel_of(ray))) {
      save_ray(ray, pixel_of(ray));
    }
    if (need_of(ray) < DONE) {
      imageStore(unfinished, ivec2(0), vec4(pass_row(10).y));
    }
  }
#endif
}
