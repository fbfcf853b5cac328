// SPDX-License-Identifier: GPL-3.0-or-later
// Multilayer perceptrons evaluated by whole work groups: the twin of kernels/networks.py. The layout of weights and
// parameters is that of kernels/gpu/networks.py, which also says what the constants in capitals are.
//
// A work group takes a batch of points. The activations of one layer lie in shared memory; each invocation computes a
// tile of TILE_OUTPUTS * 4 outputs at TILE_POINTS points in registers, so that a texel of weights, once fetched,
// serves 4 * TILE_POINTS multiply-adds. When all have read the layer, it is overwritten by the next.
//
// All functions here must be called by all invocations of the group together.

// One row of a layer holds a value for each point of the batch, four points a texel. The rows of outputs 4 t + c lie
// at c * tiles + t, and rows have an odd length where that matters, so that neighbours write to different banks.
SHARED vec4 activations[ACTIVATION_TEXELS];

// Where networks are evaluated: xyz the points in network space, w the sums of their values.
SHARED vec4 points[POINTS];

// The tile of this invocation: outputs 4 t to 4 t + 3 at point p are element p of row t.
vec4 tile_sums[TILE_OUTPUTS * TILE_POINTS];

int invocation()
{
  return int(gl_LocalInvocationIndex);
}

vec4 weight_texel(int index)
{
  return texelFetch(weights, ivec2(index & TEXTURE_MASK, index >> TEXTURE_SHIFT), 0);
}

// Sines of arguments of tens of radians: some drivers are exact within one period only.
vec4 within_period(vec4 a)
{
  vec4 periods = a * 0.15915494309189535;
  return (periods - floor(periods + 0.5)) * 6.283185307179586;
}

vec4 activate(int kind, vec4 a)
{
#ifdef USES_RELU
  if (kind == RELU) {
    return max(a, vec4(0.0));
  }
#endif
#ifdef USES_ELU
  if (kind == ELU) {
    return max(a, vec4(0.0)) + exp(min(a, vec4(0.0))) - 1.0;
  }
#endif
#ifdef USES_TANH
  if (kind == TANH) {
    // Where tanh is 1 to the last bit; some drivers overflow beyond.
    return tanh(clamp(a, vec4(-12.0), vec4(12.0)));
  }
#endif
#ifdef USES_SOFTPLUS
  if (kind == SOFTPLUS) {
    return max(a, vec4(0.0)) + log(1.0 + exp(-abs(a)));
  }
#endif
  return sin(within_period(a));
}

#ifdef GRADIENT_LAYERS
vec4 activation_slope(int kind, vec4 a)
{
#ifdef USES_RELU
  if (kind == RELU) {
    return step(vec4(1e-37), a);
  }
#endif
#ifdef USES_ELU
  if (kind == ELU) {
    return exp(min(a, vec4(0.0)));
  }
#endif
#ifdef USES_TANH
  if (kind == TANH) {
    vec4 h = tanh(clamp(a, vec4(-12.0), vec4(12.0)));
    return 1.0 - h * h;
  }
#endif
#ifdef USES_SOFTPLUS
  if (kind == SOFTPLUS) {
    return 1.0 / (1.0 + exp(clamp(-a, vec4(-80.0), vec4(80.0))));
  }
#endif
  return cos(within_period(a));
}
#endif

// What invocations need to know of a network.
struct Network {
  int first_layer;  // row of its first layer in the parameters
  int layers;       // hidden layers
  int batch;        // points at a time
  int activation;
  int last_weights;  // texels of the last layer, which has one output
  float last_bias;
  int stride;  // length of a row of `activations`
  bool has_unit;  // the last layer's output u gives scale * act(u) + offset
  float scale;
  float offset;
};

Network network_at(int index)
{
  vec4 first = parameters.values[NETWORKS_AT + NETWORK_ROWS * index];
  vec4 second = parameters.values[NETWORKS_AT + NETWORK_ROWS * index + 1];
  vec4 third = parameters.values[NETWORKS_AT + NETWORK_ROWS * index + 2];
  Network network;
  network.first_layer = int(first.x);
  network.layers = int(first.y);
  network.batch = int(first.z);
  network.activation = int(first.w);
  network.last_weights = int(second.x);
  network.last_bias = second.y;
  network.stride = int(second.z);
  network.has_unit = second.w > 0.5;
  network.scale = third.x;
  network.offset = third.y;
  return network;
}

// A hidden layer: texels of its weights, its biases and its transposed weights, and its outputs in texels.
struct Layer {
  int weights_at;
  int biases_at;
  int transposed_at;
  int tiles;
};

Layer layer_at(int row)
{
  vec4 values = parameters.values[row];
  Layer layer;
  layer.weights_at = int(values.x);
  layer.biases_at = int(values.y);
  layer.transposed_at = int(values.z);
  layer.tiles = int(values.w);
  return layer;
}

// The part of a layer that this invocation computes: its tile's row of texels, the distance to the next row of it,
// its first point, and the texel of that in a row of activations.
struct Tile {
  int row;
  int rows;
  int point;
  int column;
};

Tile own_tile(int tiles)
{
  Tile tile;
  tile.rows = (tiles + TILE_OUTPUTS - 1) / TILE_OUTPUTS;
  tile.row = invocation() % tile.rows;
  tile.point = invocation() / tile.rows * TILE_POINTS;
  tile.column = invocation() / tile.rows * (TILE_POINTS / 4);
  return tile;
}

// tile_sums += W h, with the layer h in shared memory and the weights at texel `first`. What comes next, of weights and
// of h, is on its way while the present is multiplied: work groups are few, and compilers do not look that far ahead.
void multiply_add(int first, int input_tiles, int output_tiles, Tile tile, int stride)
{
  vec4 next_weights[4 * TILE_OUTPUTS];
  for (int t = 0; t < TILE_OUTPUTS; ++t) {
    int row = min(tile.row + t * tile.rows, output_tiles - 1);
    for (int c = 0; c < 4; ++c) {
      next_weights[4 * t + c] = weight_texel(first + c * output_tiles + row);
    }
  }
  vec4 next_h[TILE_POINTS / 4];
  for (int q = 0; q < TILE_POINTS / 4; ++q) {
    next_h[q] = activations[tile.column + q];
  }
  int at = tile.column, row_step = input_tiles * stride;
  for (int block = 0; block < input_tiles; ++block) {
    vec4 weights_now[4 * TILE_OUTPUTS];
    for (int i = 0; i < 4 * TILE_OUTPUTS; ++i) {
      weights_now[i] = next_weights[i];
    }
    int following = first + 4 * min(block + 1, input_tiles - 1) * output_tiles;
    for (int t = 0; t < TILE_OUTPUTS; ++t) {
      int row = min(tile.row + t * tile.rows, output_tiles - 1);
      for (int c = 0; c < 4; ++c) {
        next_weights[4 * t + c] = weight_texel(following + c * output_tiles + row);
      }
    }
    for (int c = 0; c < 4; ++c) {
      vec4 h[TILE_POINTS / 4];
      // After the last row of a block comes the first one of the next. What is read after the last block is not used.
      int ahead = c < 3 ? at + (c + 1) * row_step : at + stride;
      for (int q = 0; q < TILE_POINTS / 4; ++q) {
        h[q] = next_h[q];
        next_h[q] = activations[ahead + q];
      }
      for (int q = 0; q < TILE_POINTS / 4; ++q) {
        for (int t = 0; t < TILE_OUTPUTS; ++t) {
          vec4 w = weights_now[4 * t + c];
          int i = t * TILE_POINTS + 4 * q;
          tile_sums[i] += w * h[q].x;
          tile_sums[i + 1] += w * h[q].y;
          tile_sums[i + 2] += w * h[q].z;
          tile_sums[i + 3] += w * h[q].w;
        }
      }
    }
    at += stride;
  }
}

// tile_sums = W h + b
void apply_layer(Layer layer, int input_tiles, Tile tile, int stride)
{
  for (int t = 0; t < TILE_OUTPUTS; ++t) {
    vec4 bias = weight_texel(layer.biases_at + min(tile.row + t * tile.rows, layer.tiles - 1));
    for (int p = 0; p < TILE_POINTS; ++p) {
      tile_sums[t * TILE_POINTS + p] = bias;
    }
  }
  multiply_add(layer.weights_at, input_tiles, layer.tiles, tile, stride);
}

// The tile as part of the layer in shared memory.
void write_tile(int tiles, Tile tile, int stride)
{
  for (int t = 0; t < TILE_OUTPUTS; ++t) {
    int row = tile.row + t * tile.rows;
    if (row < tiles) {
      for (int q = 0; q < TILE_POINTS / 4; ++q) {
        int i = t * TILE_POINTS + 4 * q;
        vec4 a = tile_sums[i], b = tile_sums[i + 1], c = tile_sums[i + 2], d = tile_sums[i + 3];
        int at = row * stride + tile.column + q;
        activations[at] = vec4(a.x, b.x, c.x, d.x);
        activations[at + tiles * stride] = vec4(a.y, b.y, c.y, d.y);
        activations[at + 2 * tiles * stride] = vec4(a.z, b.z, c.z, d.z);
        activations[at + 3 * tiles * stride] = vec4(a.w, b.w, c.w, d.w);
      }
    }
  }
}

// The input layer: `count` points from `first` on.
void write_points(int first, int count, int stride)
{
  for (int q = invocation(); 4 * q < count; q += THREADS) {
    int last = first + count - 1;
    vec4 a = points[first + 4 * q], b = points[min(first + 4 * q + 1, last)];
    vec4 c = points[min(first + 4 * q + 2, last)], d = points[min(first + 4 * q + 3, last)];
    activations[q] = vec4(a.x, b.x, c.x, d.x);
    activations[q + stride] = vec4(a.y, b.y, c.y, d.y);
    activations[q + 2 * stride] = vec4(a.z, b.z, c.z, d.z);
    activations[q + 3 * stride] = vec4(0.0);
  }
}

// The last layer's products with this tile, activated, for the points 4 q to 4 q + 3 of the tile.
vec4 last_products(Network network, int tiles, Tile tile, int q)
{
  vec4 products = vec4(0.0);
  for (int t = 0; t < TILE_OUTPUTS; ++t) {
    int row = tile.row + t * tile.rows;
    vec4 w = row < tiles ? weight_texel(network.last_weights + row) : vec4(0.0);
    int s = t * TILE_POINTS + 4 * q;
    products += vec4(dot(w, tile_sums[s]),
                     dot(w, tile_sums[s + 1]),
                     dot(w, tile_sums[s + 2]),
                     dot(w, tile_sums[s + 3]));
  }
  return products;
}

// The last layer's outputs at the points 4 q to 4 q + 3 of the batch: its products, one row for each row of tiles, are
// in shared memory.
vec4 last_outputs(Network network, int tiles, int q)
{
  vec4 total = vec4(network.last_bias);
  int rows = own_tile(tiles).rows;
  for (int row = 0; row < rows; ++row) {
    total += activations[row * network.stride + q];
  }
  return total;
}

// Adds the value of one network at each of the first `count` points to its w.
void add_values_of(int index, int count)
{
  Network network = network_at(index);
  for (int first = 0; first < count; first += network.batch) {
    int batch = min(network.batch, count - first);
    write_points(first, batch, network.stride);
    barrier();
    int input_tiles = 1;
    for (int i = 0; i < network.layers; ++i) {
      Layer layer = layer_at(network.first_layer + i);
      Tile tile = own_tile(layer.tiles);
      bool works = tile.point < batch;
      if (works) {
        apply_layer(layer, input_tiles, tile, network.stride);
        for (int s = 0; s < TILE_OUTPUTS * TILE_POINTS; ++s) {
          tile_sums[s] = activate(network.activation, tile_sums[s]);
        }
      }
      barrier();
      if (works && i + 1 < network.layers) {
        write_tile(layer.tiles, tile, network.stride);
      }
      else if (works) {
        for (int q = 0; q < TILE_POINTS / 4; ++q) {
          activations[tile.row * network.stride + tile.column + q] = last_products(network, layer.tiles, tile, q);
        }
      }
      barrier();
      input_tiles = layer.tiles;
    }
    for (int q = invocation(); 4 * q < batch; q += THREADS) {
      vec4 total = last_outputs(network, input_tiles, q);
      if (network.has_unit) {
        total = network.scale * activate(network.activation, total) + network.offset;
      }
      int at = first + 4 * q;
      points[at].w += total.x;
      if (4 * q + 1 < batch) {
        points[at + 1].w += total.y;
      }
      if (4 * q + 2 < batch) {
        points[at + 2].w += total.z;
      }
      if (4 * q + 3 < batch) {
        points[at + 3].w += total.w;
      }
    }
    barrier();
  }
}

// Adds the values of the networks `first` to `last` at each of the first `count` points to its w.
void add_values(int first, int last, int count)
{
  barrier();
  for (int index = first; index <= last; ++index) {
    add_values_of(index, count);
  }
}

#ifdef GRADIENT_LAYERS

// The sums of gradients at the points, in xyz; w the output of the last layer of a network with a single unit.
SHARED vec4 gradients[POINTS];

// Adds the gradient of one network at each of the first `count` points, in reverse mode: g <- (g * act'(a)) W.
void add_gradients_of(int index, int count)
{
  // act' of the tiles that this invocation computed on the way forward: they are its own on the way back, too.
  vec4 slopes[GRADIENT_LAYERS * TILE_OUTPUTS * TILE_POINTS];
  const int tile_size = TILE_OUTPUTS * TILE_POINTS;
  Network network = network_at(index);
  for (int first = 0; first < count; first += network.batch) {
    int batch = min(network.batch, count - first);
    write_points(first, batch, network.stride);
    barrier();
    Layer layer = layer_at(network.first_layer);
    Tile tile = own_tile(layer.tiles);
    int input_tiles = 1;
    // Up through the layers and down again to the first, in one loop, so that the large code is there only once.
    for (int pass = 0; pass < 2 * network.layers - 1; ++pass) {
      bool upwards = pass < network.layers;
      int i = upwards ? pass : 2 * network.layers - 2 - pass;
      bool is_top = pass == network.layers - 1;
      Layer multiplied = layer_at(network.first_layer + (upwards ? i : i + 1));
      layer = layer_at(network.first_layer + i);
      tile = own_tile(layer.tiles);
      bool works = tile.point < batch;
      vec4 products[TILE_POINTS / 4];
      if (works) {
        for (int t = 0; t < TILE_OUTPUTS; ++t) {
          int row = min(tile.row + t * tile.rows, layer.tiles - 1);
          vec4 bias = upwards ? weight_texel(layer.biases_at + row) : vec4(0.0);
          for (int p = 0; p < TILE_POINTS; ++p) {
            tile_sums[t * TILE_POINTS + p] = bias;
          }
        }
        multiply_add(upwards ? multiplied.weights_at : multiplied.transposed_at,
                     input_tiles, layer.tiles, tile, network.stride);
        if (upwards) {
          for (int s = 0; s < tile_size; ++s) {
            slopes[i * tile_size + s] = activation_slope(network.activation, tile_sums[s]);
          }
        }
        if (upwards && (!is_top || network.has_unit)) {
          for (int s = 0; s < tile_size; ++s) {
            tile_sums[s] = activate(network.activation, tile_sums[s]);
          }
        }
        if (is_top && network.has_unit) {
          for (int q = 0; q < TILE_POINTS / 4; ++q) {
            products[q] = last_products(network, layer.tiles, tile, q);
          }
        }
        if (is_top) {
          // The derivatives by the last hidden layer are the last layer's weights, the same at all points.
          for (int t = 0; t < TILE_OUTPUTS; ++t) {
            int row = tile.row + t * tile.rows;
            vec4 w = row < layer.tiles ? weight_texel(network.last_weights + row) : vec4(0.0);
            for (int p = 0; p < TILE_POINTS; ++p) {
              tile_sums[t * TILE_POINTS + p] = w;
            }
          }
        }
        if (is_top || !upwards) {
          for (int s = 0; s < tile_size; ++s) {
            tile_sums[s] *= slopes[i * tile_size + s];
          }
        }
      }
      barrier();
      if (is_top && network.has_unit) {
        if (works) {
          for (int q = 0; q < TILE_POINTS / 4; ++q) {
            activations[tile.row * network.stride + tile.column + q] = products[q];
          }
        }
        barrier();
        for (int p = invocation(); p < batch; p += THREADS) {
          gradients[first + p].w = last_outputs(network, layer.tiles, p / 4)[p % 4];
        }
        barrier();
      }
      if (works && pass < 2 * network.layers - 2) {
        write_tile(layer.tiles, tile, network.stride);
      }
      barrier();
      input_tiles = layer.tiles;
    }

    // The first layer has three inputs: each row of tiles adds its part of the products.
    if (tile.point < batch) {
      for (int t = 0; t < TILE_OUTPUTS; ++t) {
        int row = tile.row + t * tile.rows;
        if (row < layer.tiles) {
          vec4 a = weight_texel(layer.transposed_at + 4 * row), b = weight_texel(layer.transposed_at + 4 * row + 1);
          vec4 c = weight_texel(layer.transposed_at + 4 * row + 2), d = weight_texel(layer.transposed_at + 4 * row + 3);
          for (int p = 0; p < TILE_POINTS; ++p) {
            vec4 g = tile_sums[t * TILE_POINTS + p];
            activations[row * (network.batch + 1) + tile.point + p] = a * g.x + b * g.y + c * g.z + d * g.w;
          }
        }
      }
    }
    barrier();
    for (int p = invocation(); p < batch; p += THREADS) {
      vec4 total = vec4(0.0);
      for (int row = 0; row < layer.tiles; ++row) {
        total += activations[row * (network.batch + 1) + p];
      }
      // What a single unit does to its input multiplies the gradient of that: both ways back are linear.
      float slope = 1.0;
      if (network.has_unit) {
        slope = network.scale * activation_slope(network.activation, vec4(gradients[first + p].w)).x;
      }
      gradients[first + p].xyz += slope * total.xyz;
    }
    barrier();
  }
}

// Sets the gradients, of the sum of the networks `first` to `last`, of the first `count` points.
void set_gradients(int first, int last, int count)
{
  for (int i = invocation(); i < count; i += THREADS) {
    gradients[i] = vec4(0.0);
  }
  barrier();
  for (int index = first; index <= last; ++index) {
    add_gradients_of(index, count);
  }
}

#endif
