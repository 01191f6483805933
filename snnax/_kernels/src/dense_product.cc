// The product of two dense matrices.

#include "dense_product.h"

#include <algorithm>
#include <cstdint>

#include "parallel.h"

namespace ffi = xla::ffi;

namespace snnax {
namespace {

constexpr int64_t kTogether = 128;  // rows of a task, which stay in the cache while the panels pass

using Dense = ffi::Buffer<ffi::F32, 2>;

// x (rows, n) times w (n, m).
ffi::Error dense_product(ffi::ThreadPool pool, Dense x, Dense w, ffi::Result<Dense> out) {
  const int64_t rows = x.dimensions()[0], n = x.dimensions()[1], m = out->dimensions()[1];
  const Panels panels(w.typed_data(), n, m, false);
  for_each(pool, (rows + kTogether - 1) / kTogether, [&](int64_t task) {
    const int64_t first = task * kTogether;
    panels.multiply(x.typed_data() + first * n, std::min(kTogether, rows - first), out->typed_data() + first * m);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace snnax

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    snnax_dense_product, snnax::dense_product,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<snnax::Dense>().Arg<snnax::Dense>().Ret<snnax::Dense>());
