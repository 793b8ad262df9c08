// Compiles the functions of {fmt} once for the whole core; other files include only the declarations in
// <fmt/format.h>. Debian has no libfmt.a, and FMT_HEADER_ONLY would compile all of {fmt} in every file.
#include <fmt/format-inl.h>

// Instantiates the templates that <fmt/format.h> declares as extern, except the unused ones for wchar_t.
template auto fmt::detail::thousands_sep_impl<char>(locale_ref) -> thousands_sep_result<char>;
template auto fmt::detail::decimal_point_impl<char>(locale_ref) -> char;
#if FMT_VERSION >= 100000 && FMT_VERSION < 110100
template void fmt::detail::vformat_to<char>(buffer<char>&, string_view, typename vformat_args<>::type, locale_ref);
#endif
