"""Networks: denoisers, guidance, the teacher, students, EMA, closed-form teachers."""
