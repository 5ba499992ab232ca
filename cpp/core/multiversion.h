// Code beyond the processor that everything is compiled for.
#pragma once

// Functions may be written for instructions that compilers do not use by themselves, with a target of their own.
#if defined(__x86_64__) && defined(__GNUC__)
#define CLIP_ES_X86 1
#endif

// Plain loops that compilers vectorise, compiled once for each level of the processor and chosen when the program starts.
#if defined(CLIP_ES_X86) && !defined(__clang__) && !defined(CLIP_ES_NO_MULTIVERSION)
#define CLIP_ES_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLIP_ES_MULTIVERSION
#endif
