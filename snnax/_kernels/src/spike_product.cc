// Products of matrices that are mostly zeros with dense ones, and the share of what is not zero in them.
//
// Rows are visited entry by entry, and only an entry that is not zero is multiplied. Every sum runs in the order of the
// rows and entries, whatever the number of threads.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "entries.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

constexpr int64_t kWidth = 64;      // columns whose sums are held in registers
constexpr int64_t kRows = 128;      // rows of a task

typedef float Lanes __attribute__((vector_size(32), aligned(4)));  // loads and stores at any address

// out[c] = sum of value * w[place][c] over the entries. Compilers keep the eight sums in registers.
SNNAX_EACH_TARGET void gather(const Entry* entries, int64_t count, const float* w, int64_t m, float* out) {
  int64_t c = 0;
  for (; c + kWidth <= m; c += kWidth) {
    Lanes s0 = {}, s1 = {}, s2 = {}, s3 = {}, s4 = {}, s5 = {}, s6 = {}, s7 = {};
    for (int64_t e = 0; e < count; ++e) {
      const Lanes* row = reinterpret_cast<const Lanes*>(w + entries[e].place * m + c);
      const float value = entries[e].value;
      s0 += value * row[0], s1 += value * row[1], s2 += value * row[2], s3 += value * row[3];
      s4 += value * row[4], s5 += value * row[5], s6 += value * row[6], s7 += value * row[7];
    }
    Lanes* to = reinterpret_cast<Lanes*>(out + c);
    to[0] = s0, to[1] = s1, to[2] = s2, to[3] = s3, to[4] = s4, to[5] = s5, to[6] = s6, to[7] = s7;
  }
  for (; c < m; ++c) {
    float sum = 0;
    for (int64_t e = 0; e < count; ++e) sum += entries[e].value * w[entries[e].place * m + c];
    out[c] = sum;
  }
}

// out[place][c] += value * g[c] over the entries, for `count` columns from c on.
SNNAX_EACH_TARGET void scatter(const Entry* entries, int64_t count, const float* g, int64_t columns, int64_t m,
                               float* out) {
  if (columns == kWidth) {
    const Lanes* from = reinterpret_cast<const Lanes*>(g);
    const Lanes g0 = from[0], g1 = from[1], g2 = from[2], g3 = from[3];
    const Lanes g4 = from[4], g5 = from[5], g6 = from[6], g7 = from[7];
    for (int64_t e = 0; e < count; ++e) {
      Lanes* row = reinterpret_cast<Lanes*>(out + entries[e].place * m);
      const float value = entries[e].value;
      row[0] += value * g0, row[1] += value * g1, row[2] += value * g2, row[3] += value * g3;
      row[4] += value * g4, row[5] += value * g5, row[6] += value * g6, row[7] += value * g7;
    }
    return;
  }
  for (int64_t e = 0; e < count; ++e) {
    float* row = out + entries[e].place * m;
    const float value = entries[e].value;
    for (int64_t c = 0; c < columns; ++c) row[c] += value * g[c];
  }
}

int64_t tasks_of(int64_t rows) { return (rows + kRows - 1) / kRows; }

using Matrix = ffi::Buffer<ffi::F32, 2>;
using Scalar = ffi::Buffer<ffi::F32, 0>;

ffi::Error share(ffi::ThreadPool pool, Matrix x, ffi::Result<Scalar> out) {
  const int64_t size = x.element_count(), step = 1 << 16, tasks = (size + step - 1) / step;
  std::vector<int64_t> counts(tasks);
  for_each(pool, tasks, [&](int64_t task) {
    counts[task] = count_of(x.typed_data() + task * step, std::min(step, size - task * step));
  });
  int64_t total = 0;
  for (int64_t count : counts) total += count;
  *out->typed_data() = size ? static_cast<float>(static_cast<double>(total) / size) : 0.0f;
  return ffi::Error::Success();
}

// x (rows, n) times w (n, m).
ffi::Error product(ffi::ThreadPool pool, Matrix x, Matrix w, ffi::Result<Matrix> out) {
  const int64_t rows = x.dimensions()[0], n = x.dimensions()[1], m = w.dimensions()[1];
  for_each(pool, tasks_of(rows), [&](int64_t task) {
    std::vector<Entry> entries(n + 1);
    for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
      const int64_t count = entries_of(x.typed_data() + r * n, n, entries.data());
      gather(entries.data(), count, w.typed_data(), m, out->typed_data() + r * m);
    }
  });
  return ffi::Error::Success();
}

// x (rows, n), transposed, times g (rows, m).
ffi::Error transposed_product(ffi::ThreadPool pool, Matrix x, Matrix g, ffi::Result<Matrix> out) {
  const int64_t rows = x.dimensions()[0], n = x.dimensions()[1], m = g.dimensions()[1];
  struct Block {
    std::vector<Entry> entries;
    std::vector<int64_t> ends;
  };
  std::vector<Block> blocks(tasks_of(rows));
  for_each(pool, blocks.size(), [&](int64_t task) {
    std::vector<Entry> found(n + 1);
    Block& block = blocks[task];
    for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
      const int64_t count = entries_of(x.typed_data() + r * n, n, found.data());
      block.entries.insert(block.entries.end(), found.begin(), found.begin() + count);
      block.ends.push_back(block.entries.size());
    }
  });
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  const int64_t width = std::min<int64_t>(kWidth, std::max<int64_t>(16, (m / threads + 15) / 16 * 16));
  for_each(pool, (m + width - 1) / width, [&](int64_t task) {
    const int64_t low = task * width, high = std::min(m, low + width);
    float* sums = out->typed_data();
    for (int64_t i = 0; i < n; ++i) std::fill(sums + i * m + low, sums + i * m + high, 0.0f);
    const float* errors = g.typed_data();
    for (const Block& block : blocks) {
      int64_t begin = 0;
      for (int64_t end : block.ends) {
        scatter(block.entries.data() + begin, end - begin, errors + low, high - low, m, sums + low);
        begin = end;
        errors += m;
      }
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_share, snnax::share,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<snnax::Matrix>().Ret<snnax::Scalar>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    snnax_product, snnax::product,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<snnax::Matrix>().Arg<snnax::Matrix>().Ret<snnax::Matrix>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    snnax_transposed_product, snnax::transposed_product,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<snnax::Matrix>().Arg<snnax::Matrix>().Ret<snnax::Matrix>());
