/* The linker: one relocatable ELF object -> flat, position-independent code.
 *
 * Kernels are simple: code and its constants, references among them relative to the instruction
 * pointer, nothing imported. So: lay the sections that are loaded one after the other, apply the
 * few kinds of relative relocation, and refuse by name whatever else there is.
 *
 *     .text | .rodata.cst4 | .rodata.cst32 | ...     (.eh_frame is dropped: nothing unwinds) */
#include "codegen/link.h"

#include <assert.h>
#include <elf.h>
#include <stdbool.h>
#include <string.h>

typedef struct Linker {
    Arena *arena;
    const uint8_t *at; /* the object: made by LLVM, so its tables are trusted (asserts) */
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *section;
    const Elf64_Sym *symbol;
    size_t nsymbols;
    const char *names;   /* of symbols */
    uint64_t *place;     /* by section: offset in the image */
    bool *placed;
    uint8_t *out;
    size_t out_size;
    Error *error;
} Linker;

static const void *part(const Linker *k, uint64_t offset, uint64_t size)
{
    assert(offset <= k->size && size <= k->size - offset);
    (void)size;
    return k->at + offset;
}

static void read_tables(Linker *k)
{
    k->header = part(k, 0, sizeof *k->header);
    assert(memcmp(k->header->e_ident, ELFMAG, SELFMAG) == 0 && k->header->e_type == ET_REL);
    k->section = part(k, k->header->e_shoff, sizeof *k->section * k->header->e_shnum);
    for (int s = 0; s < k->header->e_shnum; s++) {
        const Elf64_Shdr *h = &k->section[s];
        if (h->sh_type != SHT_SYMTAB)
            continue;
        k->symbol = part(k, h->sh_offset, h->sh_size);
        k->nsymbols = h->sh_size / sizeof *k->symbol;
        const Elf64_Shdr *names = &k->section[h->sh_link];
        k->names = part(k, names->sh_offset, names->sh_size);
    }
}

static const char *section_name(const Linker *k, const Elf64_Shdr *h)
{
    const Elf64_Shdr *names = &k->section[k->header->e_shstrndx];
    return (const char *)part(k, names->sh_offset, names->sh_size) + h->sh_name;
}

/* Is it part of the image? Code first, then constants; never what describes unwinding. */
static bool is_loaded(const Linker *k, const Elf64_Shdr *h, bool code)
{
    if (!(h->sh_flags & SHF_ALLOC) || h->sh_size == 0 || h->sh_type == SHT_X86_64_UNWIND)
        return false;
    if (strcmp(section_name(k, h), ".eh_frame") == 0)
        return false;
    return code == ((h->sh_flags & SHF_EXECINSTR) != 0);
}

static void place_sections(Linker *k)
{
    k->place = arena_array_of(k->arena, k->header->e_shnum, uint64_t);
    k->placed = arena_array_of(k->arena, k->header->e_shnum, bool);
    uint64_t end = 0;
    for (int code = 1; code >= 0; code--)
        for (int s = 0; s < k->header->e_shnum; s++) {
            const Elf64_Shdr *h = &k->section[s];
            if (!is_loaded(k, h, code != 0))
                continue;
            const uint64_t align = h->sh_addralign > 0 ? h->sh_addralign : 1;
            end = (end + align - 1) / align * align;
            k->place[s] = end;
            k->placed[s] = true;
            end += h->sh_size;
        }
    k->out_size = end;
    k->out = arena_alloc_aligned(k->arena, end > 0 ? end : 1, 64);
    for (int s = 0; s < k->header->e_shnum; s++)
        if (k->placed[s] && k->section[s].sh_type != SHT_NOBITS)
            memcpy(k->out + k->place[s], part(k, k->section[s].sh_offset, k->section[s].sh_size),
                   k->section[s].sh_size);
}

static int symbol_address(const Linker *k, const Elf64_Sym *s, uint64_t *out)
{
    if (s->st_shndx == SHN_UNDEF || s->st_shndx >= k->header->e_shnum || !k->placed[s->st_shndx])
        return error_set(k->error, ERR_INTERNAL, "link: symbol '%s' is not defined",
                         k->names + s->st_name);
    if (k->section[s->st_shndx].sh_flags & SHF_WRITE)
        return error_set(k->error, ERR_INTERNAL, "link: '%s' is a variable", k->names + s->st_name);
    *out = k->place[s->st_shndx] + s->st_value;
    return ERR_OK;
}

static int relocate(const Linker *k, uint64_t base, const Elf64_Rela *r)
{
    const unsigned kind = (unsigned)ELF64_R_TYPE(r->r_info);
    const Elf64_Sym *s = &k->symbol[ELF64_R_SYM(r->r_info)];
    uint64_t target;
    const int code = symbol_address(k, s, &target);
    if (code != ERR_OK)
        return code;
    if (kind != R_X86_64_PC32 && kind != R_X86_64_PLT32 && kind != R_X86_64_PC64)
        return error_set(k->error, ERR_INTERNAL, "link: relocation %u against '%s'", kind,
                         k->names + s->st_name);
    const uint64_t at = base + r->r_offset;
    const uint64_t value = target + (uint64_t)r->r_addend - at;
    const size_t width = kind == R_X86_64_PC64 ? 8 : 4;
    assert(at + width <= k->out_size);
    memcpy(k->out + at, &value, width); /* little endian, like the object */
    return ERR_OK;
}

static int relocate_all(const Linker *k)
{
    for (int s = 0; s < k->header->e_shnum; s++) {
        const Elf64_Shdr *h = &k->section[s];
        if (h->sh_type != SHT_RELA || !k->placed[h->sh_info])
            continue;
        const Elf64_Rela *r = part(k, h->sh_offset, h->sh_size);
        for (size_t i = 0; i < h->sh_size / sizeof *r; i++) {
            const int code = relocate(k, k->place[h->sh_info], &r[i]);
            if (code != ERR_OK)
                return code;
        }
    }
    return ERR_OK;
}

static int find_entry(const Linker *k, const char *name, ImageEntry *out)
{
    for (size_t i = 0; i < k->nsymbols; i++) {
        const Elf64_Sym *s = &k->symbol[i];
        if (strcmp(k->names + s->st_name, name) != 0)
            continue;
        uint64_t at;
        const int code = symbol_address(k, s, &at);
        *out = (ImageEntry){arena_strdup(k->arena, name), (uint32_t)at, (uint32_t)s->st_size};
        return code;
    }
    return error_set(k->error, ERR_INTERNAL, "link: entry '%s' is missing", name);
}

int link_image(Arena *a, const uint8_t *object, size_t size, int nentries,
               const char *const *entries, Image *out, Error *e)
{
    Linker k = {.arena = a, .at = object, .size = size, .error = e};
    read_tables(&k);
    assert(k.symbol);
    place_sections(&k);
    for (size_t i = 1; i < k.nsymbols; i++) /* also where nothing refers to it: no imports at all */
        if (k.symbol[i].st_shndx == SHN_UNDEF)
            return error_set(e, ERR_INTERNAL, "link: symbol '%s' is not defined",
                             k.names + k.symbol[i].st_name);
    int code = relocate_all(&k);
    ImageEntry *entry = arena_array_of(a, nentries, ImageEntry);
    for (int i = 0; i < nentries && code == ERR_OK; i++)
        code = find_entry(&k, entries[i], &entry[i]);
    *out = (Image){.code = k.out, .size = k.out_size, .nentries = nentries, .entry = entry};
    return code;
}
