"""What is computed: the layers of both nets and their factorisations."""
