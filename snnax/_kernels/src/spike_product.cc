// Products of matrices that are mostly zeros with dense ones, and the share of what is not zero in them.
//
// The entries that are mostly zeros come as floats, as counts in a byte each, or as bits, eight in a byte, the first in
// the highest place. Bits come in groups of `size`, each of which begins a byte; what is left of its last byte is no
// entry.
//
// Rows are visited entry by entry, and only an entry that is not zero is multiplied. Every sum runs in the order of the
// rows and entries, whatever the number of threads.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "entries.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

constexpr int64_t kWidth = 64;      // columns whose sums are held in registers
constexpr int64_t kRows = 128;      // rows of a task
constexpr int64_t kGroup = 512;     // rows whose entries are put in the order of their places
constexpr int64_t kPlaces = 4096;   // places whose weights, kWidth columns of them, stay in the cache

// Entries of counts, eight of which are looked at together.
SNNAX_EACH_TARGET int64_t entries_of(const uint8_t* x, int64_t n, Entry* found) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < n; begin += 8) {
    const int64_t end = std::min<int64_t>(begin + 8, n);
    uint64_t all = 0;
    std::memcpy(&all, x + begin, end - begin);
    if (all == 0) continue;
    for (int64_t i = begin; i < end; ++i) {
      found[count] = {static_cast<int32_t>(i), static_cast<float>(x[i])};
      count += x[i] != 0;
    }
  }
  return count;
}

SNNAX_EACH_TARGET int64_t count_of(const uint8_t* x, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += x[i] != 0;
  return count;
}

// Calls f(place, bits) for 64 bits at a time of `groups` of `size`: the first is the highest of `bits`, and what is no
// entry is 0.
template <typename F>
inline void each_word(const uint8_t* x, int64_t groups, int64_t size, const F& f) {
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t begin = 0; begin < size; begin += 64) {
      const int64_t left = std::min<int64_t>(size - begin, 64), bytes = (left + 7) / 8;
      uint64_t bits = 0;
      for (int64_t i = 0; i < bytes; ++i) bits |= static_cast<uint64_t>(x[i]) << (56 - 8 * i);
      x += bytes;
      if (left < 64) bits &= ~(~static_cast<uint64_t>(0) >> left);
      if (bits != 0) f(group * size + begin, bits);
    }
  }
}

SNNAX_EACH_TARGET int64_t entries_of(const uint8_t* x, int64_t groups, int64_t size, Entry* found) {
  int64_t count = 0;
  each_word(x, groups, size, [&](int64_t place, uint64_t bits) {
    while (bits != 0) {
      const int first = __builtin_clzll(bits);
      found[count++] = {static_cast<int32_t>(place + first), 1.0f};
      bits &= ~(static_cast<uint64_t>(1) << (63 - first));
    }
  });
  return count;
}

SNNAX_EACH_TARGET int64_t count_of(const uint8_t* x, int64_t groups, int64_t size) {
  int64_t count = 0;
  each_word(x, groups, size, [&](int64_t, uint64_t bits) { count += __builtin_popcountll(bits); });
  return count;
}

typedef float Lanes __attribute__((vector_size(32), aligned(4)));  // loads and stores at any address

// out[c] = sum of value * w[place][c] over the entries, for the columns from c to the end; added to what is there, if
// that is asked for. Compilers keep the eight sums in registers.
SNNAX_EACH_TARGET void gather(const Entry* entries, int64_t count, const float* w, int64_t m, int64_t c, int64_t end,
                              bool add, float* out) {
  for (; c + kWidth <= end; c += kWidth) {
    Lanes* to = reinterpret_cast<Lanes*>(out + c);
    Lanes s0 = {}, s1 = {}, s2 = {}, s3 = {}, s4 = {}, s5 = {}, s6 = {}, s7 = {};
    if (add) s0 = to[0], s1 = to[1], s2 = to[2], s3 = to[3], s4 = to[4], s5 = to[5], s6 = to[6], s7 = to[7];
    for (int64_t e = 0; e < count; ++e) {
      const Lanes* row = reinterpret_cast<const Lanes*>(w + entries[e].place * m + c);
      const float value = entries[e].value;
      s0 += value * row[0], s1 += value * row[1], s2 += value * row[2], s3 += value * row[3];
      s4 += value * row[4], s5 += value * row[5], s6 += value * row[6], s7 += value * row[7];
    }
    to[0] = s0, to[1] = s1, to[2] = s2, to[3] = s3, to[4] = s4, to[5] = s5, to[6] = s6, to[7] = s7;
  }
  for (; c < end; ++c) {
    float sum = add ? out[c] : 0.0f;
    for (int64_t e = 0; e < count; ++e) sum += entries[e].value * w[entries[e].place * m + c];
    out[c] = sum;
  }
}

int64_t tasks_of(int64_t rows) { return (rows + kRows - 1) / kRows; }

using Matrix = ffi::Buffer<ffi::F32, 2>;
using Bytes = ffi::Buffer<ffi::U8, 2>;
using Scalar = ffi::Buffer<ffi::F32, 0>;

// The rows of a matrix that is mostly zeros, with a number in each element.
template <typename From>
struct Numbers {
  decltype(std::declval<From>().typed_data()) x;
  int64_t rows, n;

  explicit Numbers(const From& of) : x(of.typed_data()), rows(of.dimensions()[0]), n(of.dimensions()[1]) {}
  int64_t entries(int64_t row, Entry* found) const { return entries_of(x + row * n, n, found); }
  int64_t parts() const { return rows * n; }
  int64_t size_of_part() const { return 1; }
  int64_t count(int64_t begin, int64_t end) const { return count_of(x + begin, end - begin); }
};

using Floats = Numbers<Matrix>;
using Counts = Numbers<Bytes>;

// The same of bits, in groups of `size`.
struct Bits {
  const uint8_t* x;
  int64_t rows, size, bytes, groups, n;

  Bits(const Bytes& of, int64_t size)
      : x(of.typed_data()), rows(of.dimensions()[0]), size(size), bytes((size + 7) / 8),
        groups(of.dimensions()[1] / bytes), n(groups * size) {}
  int64_t entries(int64_t row, Entry* found) const { return entries_of(x + row * groups * bytes, groups, size, found); }
  int64_t parts() const { return rows * groups; }
  int64_t size_of_part() const { return size; }
  int64_t count(int64_t begin, int64_t end) const { return count_of(x + begin * bytes, end - begin, size); }
};

template <typename Rows>
ffi::Error share_of(ffi::ThreadPool& pool, const Rows& x, Scalar& out) {
  const int64_t step = std::max<int64_t>((1 << 16) / x.size_of_part(), 1), tasks = (x.parts() + step - 1) / step;
  std::vector<int64_t> counts(tasks);
  for_each(pool, tasks, [&](int64_t task) {
    counts[task] = x.count(task * step, std::min(x.parts(), (task + 1) * step));
  });
  int64_t total = 0;
  for (int64_t count : counts) total += count;
  const int64_t size = x.rows * x.n;
  *out.typed_data() = size ? static_cast<float>(static_cast<double>(total) / size) : 0.0f;
  return ffi::Error::Success();
}

int64_t blocks_of(int64_t places) { return (places + kPlaces - 1) / kPlaces; }

// The entries of the rows of a task, row by row, and where those of each block of each row end. What they meet of one
// block is in the cache while the rows pass, however large the other matrix is.
struct Found {
  std::vector<Entry> entries;
  std::vector<int64_t> ends;

  template <typename Rows>
  void find(const Rows& x, int64_t task) {
    std::vector<Entry> row(x.n + 1);
    for (int64_t r = task * kRows; r < std::min(x.rows, (task + 1) * kRows); ++r) {
      const int64_t count = x.entries(r, row.data());
      int64_t end = 0;
      for (int64_t block = 1; block <= blocks_of(x.n); ++block) {
        while (end < count && row[end].place < block * kPlaces) ++end;
        ends.push_back(entries.size() + end);
      }
      entries.insert(entries.end(), row.begin(), row.begin() + count);
    }
  }

  // Calls f(row, entries, count) for the entries in one of the blocks, where there are any.
  template <typename F>
  void each(int64_t block, int64_t blocks, const F& f) const {
    for (size_t i = block; i < ends.size(); i += blocks) {
      const int64_t begin = i ? ends[i - 1] : 0;
      if (ends[i] > begin) f(i / blocks, entries.data() + begin, ends[i] - begin);
    }
  }
};

// x (rows, n) times w (n, m).
template <typename Rows>
ffi::Error product_of(ffi::ThreadPool& pool, const Rows& x, const Matrix& w, Matrix& out) {
  const int64_t m = w.dimensions()[1], blocks = blocks_of(x.n);
  for_each(pool, tasks_of(x.rows), [&](int64_t task) {
    float* sums = out.typed_data() + task * kRows * m;
    const int64_t rows = std::min(kRows, x.rows - task * kRows);
    if (blocks <= 1) {
      std::vector<Entry> entries(x.n + 1);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t count = x.entries(task * kRows + r, entries.data());
        gather(entries.data(), count, w.typed_data(), m, 0, m, false, sums + r * m);
      }
      return;
    }
    Found found;
    found.find(x, task);
    std::fill(sums, sums + rows * m, 0.0f);
    for (int64_t low = 0; low < m; low += kWidth) {
      for (int64_t block = 0; block < blocks; ++block) {
        found.each(block, blocks, [&](int64_t row, const Entry* entries, int64_t count) {
          gather(entries, count, w.typed_data(), m, low, std::min(low + kWidth, m), true, sums + row * m);
        });
      }
    }
  });
  return ffi::Error::Success();
}

// The entries of the rows of a group by their places, and where those of each place end. Each names its row.
struct ByPlace {
  std::vector<Entry> entries;
  std::vector<int32_t> ends;

  template <typename Rows>
  void find(const Rows& x, int64_t first, int64_t rows) {
    std::vector<Entry> found, row(x.n + 1);
    std::vector<int64_t> counts(rows);
    ends.assign(x.n + 1, 0);
    for (int64_t r = 0; r < rows; ++r) {
      counts[r] = x.entries(first + r, row.data());
      found.insert(found.end(), row.begin(), row.begin() + counts[r]);
    }
    for (const Entry& entry : found) ++ends[entry.place + 1];
    for (int64_t i = 0; i < x.n; ++i) ends[i + 1] += ends[i];
    entries.resize(found.size());
    const Entry* next = found.data();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < counts[r]; ++i, ++next) {
        entries[ends[next->place]++] = {static_cast<int32_t>(r), next->value};
      }
    }
  }

  // Calls f(place, entries, count) for the places from first to last that have any.
  template <typename F>
  void each(int64_t first, int64_t last, const F& f) const {
    for (int64_t i = first; i < last; ++i) {
      const int32_t begin = i ? ends[i - 1] : 0;
      if (ends[i] > begin) f(i, entries.data() + begin, ends[i] - begin);
    }
  }
};

// x (rows, n), transposed, times g (rows, m): for each place, the sum of the rows of g that it meets. So many columns of
// them are copied together as stay in the cache.
template <typename Rows>
ffi::Error transposed_product_of(ffi::ThreadPool& pool, const Rows& x, const Matrix& g, Matrix& out) {
  const int64_t n = x.n, m = g.dimensions()[1], slices = (m + kWidth - 1) / kWidth;
  std::vector<ByPlace> groups((x.rows + kGroup - 1) / kGroup);
  for_each(pool, groups.size(), [&](int64_t task) {
    groups[task].find(x, task * kGroup, std::min(kGroup, x.rows - task * kGroup));
  });
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1), parts = slices ? (threads + slices - 1) / slices : 1;
  for_each(pool, slices * parts, [&](int64_t task) {
    const int64_t low = task / parts * kWidth, high = std::min(m, low + kWidth);
    const int64_t first = n * (task % parts) / parts, last = n * (task % parts + 1) / parts;
    std::vector<float> sums((last - first) * kWidth), errors(kGroup * kWidth);
    for (size_t group = 0; group < groups.size(); ++group) {
      const int64_t begin = group * kGroup, rows = std::min(kGroup, x.rows - begin);
      for (int64_t r = 0; r < rows; ++r) {
        const float* from = g.typed_data() + (begin + r) * m;
        std::copy(from + low, from + high, errors.data() + r * kWidth);
      }
      groups[group].each(first, last, [&](int64_t place, const Entry* entries, int64_t count) {
        float* to = sums.data() + (place - first) * kWidth;
        gather(entries, count, errors.data(), kWidth, 0, kWidth, true, to);
      });
    }
    for (int64_t i = first; i < last; ++i) {
      const float* from = sums.data() + (i - first) * kWidth;
      std::copy(from, from + high - low, out.typed_data() + i * m + low);
    }
  });
  return ffi::Error::Success();
}

ffi::Error share(ffi::ThreadPool pool, Matrix x, ffi::Result<Scalar> out) { return share_of(pool, Floats(x), *out); }

ffi::Error product(ffi::ThreadPool pool, Matrix x, Matrix w, ffi::Result<Matrix> out) {
  return product_of(pool, Floats(x), w, *out);
}

ffi::Error transposed_product(ffi::ThreadPool pool, Matrix x, Matrix g, ffi::Result<Matrix> out) {
  return transposed_product_of(pool, Floats(x), g, *out);
}

ffi::Error byte_share(ffi::ThreadPool pool, Bytes x, ffi::Result<Scalar> out, int64_t size) {
  return size ? share_of(pool, Bits(x, size), *out) : share_of(pool, Counts(x), *out);
}

ffi::Error byte_product(ffi::ThreadPool pool, Bytes x, Matrix w, ffi::Result<Matrix> out, int64_t size) {
  return size ? product_of(pool, Bits(x, size), w, *out) : product_of(pool, Counts(x), w, *out);
}

ffi::Error byte_transposed_product(ffi::ThreadPool pool, Bytes x, Matrix g, ffi::Result<Matrix> out, int64_t size) {
  return size ? transposed_product_of(pool, Bits(x, size), g, *out) : transposed_product_of(pool, Counts(x), g, *out);
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    snnax_byte_share, snnax::byte_share,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<snnax::Bytes>().Ret<snnax::Scalar>().Attr<int64_t>("size"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_byte_product, snnax::byte_product,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Bytes>()
                                  .Arg<snnax::Matrix>()
                                  .Ret<snnax::Matrix>()
                                  .Attr<int64_t>("size"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(snnax_byte_transposed_product, snnax::byte_transposed_product,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<snnax::Bytes>()
                                  .Arg<snnax::Matrix>()
                                  .Ret<snnax::Matrix>()
                                  .Attr<int64_t>("size"));
