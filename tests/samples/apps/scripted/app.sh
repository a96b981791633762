#!/usr/bin/env bash
echo "the application says: $(cat greeting.txt)"
