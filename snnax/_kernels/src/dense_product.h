// The product of any matrix with weights that are put in the order in which tiles read them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "tile.h"

namespace snnax {
namespace {

// Weights (n, m) in panels of columns, (panels, n, kPanel), with zeros after the last column.
struct Panels {
  int64_t n, m;
  std::vector<float> weights;
  std::vector<int64_t> places;

  // w is (n, m), or, transposed, (m, n).
  Panels(const float* w, int64_t n, int64_t m, bool transposed)
      : n(n), m(m), weights((m + kPanel - 1) / kPanel * kPanel * n), places(n) {
    std::iota(places.begin(), places.end(), 0);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) {
        weights[(j / kPanel * n + i) * kPanel + j % kPanel] = transposed ? w[j * n + i] : w[i * m + j];
      }
    }
  }

  // to (rows, m) = x (rows, n) times the weights. Every sum runs in the order of the entries of a row.
  void multiply(const float* x, int64_t rows, float* to) const {
    std::vector<int64_t> from(rows), at(rows);
    for (int64_t r = 0; r < rows; ++r) from[r] = r * n, at[r] = r * m;
    std::fill(to, to + rows * m, 0.0f);
    for (int64_t c = 0; c < m; c += kPanel) {
      const Factors factors = {x, from.data(), places.data(), n, weights.data() + c * n, kPanel};
      snnax::multiply(tiles(), factors, rows, to + c, at.data(), std::min(kPanel, m - c));
    }
  }
};

}  // namespace
}  // namespace snnax
