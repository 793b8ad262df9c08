// The functions of {fmt}, compiled once for all of the core; every other file takes their declarations from
// <fmt/format.h>. Debian has no libfmt.a, and with FMT_HEADER_ONLY each file that formats would compile all of it.
#include <fmt/format-inl.h>

// The templates that <fmt/format.h> declares as instantiated elsewhere; those for wchar_t are not used here.
template auto fmt::detail::thousands_sep_impl<char>(locale_ref) -> thousands_sep_result<char>;
template auto fmt::detail::decimal_point_impl<char>(locale_ref) -> char;
#if FMT_VERSION >= 100000 && FMT_VERSION < 110100
template void fmt::detail::vformat_to<char>(buffer<char>&, string_view, typename vformat_args<>::type, locale_ref);
#endif
