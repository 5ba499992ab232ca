// Plain loops that compilers vectorise, compiled once for each level of the processor and chosen when the program starts.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(CLIP_ES_NO_MULTIVERSION)
#define CLIP_ES_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLIP_ES_MULTIVERSION
#endif
