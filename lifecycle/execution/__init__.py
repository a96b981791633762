"""Executing a recipe: what the extend phase is made of, and what the engines that execute recipes share."""
